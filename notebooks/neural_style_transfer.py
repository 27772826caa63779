# %% [markdown]
# # Neural style transfer: from the losses to the picture
#
# The inputs are a photograph and a painting. The output looks as if the painter had painted the
# photograph. No brush is simulated and nothing is trained here. The algorithm changes the pixels of
# a picture step by step, until a network that was trained to recognise a thousand kinds of things
# finds the *content* of the photograph and the *style* of the painting in it.
#
# The idea is by Gatys, Ecker and Bethge ([2015](https://arxiv.org/abs/1508.06576),
# [2016](https://openaccess.thecvf.com/content_cvpr_2016/html/Gatys_Image_Style_Transfer_CVPR_2016_paper.html)).
# This notebook first explains their losses, with small experiments. Then it paints. Then it shows
# the effect of each part. You need some Python, and you should know what a gradient is.
#
# It runs on an ordinary laptop: with the sizes below, on two cores, in under ten minutes. You can
# copy it anywhere: its pictures come with the package. Install that once, with the path of your
# copy of the repository: `pip install "/path/to/impasto[notebook]"`, or `%pip install ...` here.

# %% tags=["parameters"]
SIZE = 256  # longest side of the three paintings, in pixels
STEPS = None  # iterations for each of them; None: as many as the size needs
ROW_SIZE = 176  # longest side of the smaller pictures that are set side by side
ROW_STEPS = 100  # iterations for each of those

# %%
import io

import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import Image as Shown
from matplotlib_inline.backend_inline import set_matplotlib_formats
from PIL import Image, ImageSequence

import impasto
from impasto import images, losses, main, models
from impasto.images import samples

set_matplotlib_formats("jpeg", pil_kwargs={"quality": 82})


def row(pictures, width=12):
    """Set pictures side by side, equally high, each under its title."""
    aspects = [picture.width / picture.height for picture in pictures.values()]
    height = width / sum(aspects)
    _, axes = plt.subplots(
        1, len(pictures), figsize=(width, height + 0.5), width_ratios=aspects, layout="constrained"
    )
    for ax, (title, picture) in zip(axes, pictures.items(), strict=True):
        ax.imshow(picture)
        ax.set_title(title, fontsize="medium")
        ax.axis("off")


# %% [markdown]
# ## What the network sees
#
# VGG-16 is a stack of convolutions in five blocks. At layer $l$ it turns an image into $N_l$
# *feature maps*, one for each pattern that it has learnt. Each map has $M_l$ positions, and its
# value is large where the pattern is present. We write the maps as a matrix $F^l$ with $N_l$ rows
# and $M_l$ columns.
#
# In block 1 the patterns are edges and colours. Each block halves the size of the maps and doubles
# the size of the patterns. So in deep layers the patterns are things like *eye* or *rounded and
# furry*, at a few positions only.

# %%
vgg = models.load("vgg16")


def pixels_of(path, size=ROW_SIZE):
    """Read a picture as a tensor (1, 3, H, W) of numbers in [0, 1]."""
    picture = images.load(path)
    return images.resize(picture.pixels, *images.fit(picture.height_px, picture.width_px, size))


photograph = pixels_of(samples.path("content", "chelsea"))
painting = pixels_of(samples.path("style", "nocturne"))

depths = ["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"]
with torch.no_grad():
    features = vgg.features(photograph, depths)
    for name, maps in features.items():
        print(f"{name}: {maps.shape[1]} maps of {maps.shape[2]} x {maps.shape[3]}")

strongest = {"the photograph": images.to_image(photograph)}
for name, maps in features.items():
    channel = maps[0].amax((1, 2)).argmax()  # the map with the highest peak
    shades = (maps[0, channel] / maps[0, channel].max() * 255).byte()
    strongest[f"{name}, map {channel}"] = Image.fromarray(shades.numpy())
row(strongest, width=14)

# %% [markdown]
# ## Content: the same things at the same positions
#
# Two pictures have the same content if a deep layer has similar features *at each position*. If $F$
# are the maps of the picture that is being painted and $P$ those of the photograph,
#
# $$L_{content} = \frac{1}{2} \sum_{ij} \left( F^l_{ij} - P^l_{ij} \right)^2 .$$
#
# How much does a change cost? Below, the photograph is made darker, blurred, moved sideways by
# eight pixels, and replaced by a cup of coffee. The title of each picture has its content loss as
# a percentage of the coffee's, in a shallow and in a deep layer.

# %%
changed = {
    "as it is": photograph,
    "darker": 0.75 * photograph,
    "blurred": torch.nn.functional.avg_pool2d(photograph, 5, 1, 2, count_include_pad=False),
    "moved": photograph.roll(8, dims=3),
    "coffee": images.resize(pixels_of(samples.path("content", "coffee")), *photograph.shape[-2:]),
}
compared = ["relu1_1", "relu4_2"]
with torch.no_grad():
    P = vgg.features(photograph, compared)
    maps = {title: vgg.features(image, compared) for title, image in changed.items()}

costs = {
    layer: {title: float(losses.content_loss(F[layer], P[layer])) for title, F in maps.items()}
    for layer in compared
}
row(
    {
        title
        + "".join(
            f"\n{layer}: {costs[layer][title] / costs[layer]['coffee']:.0%}" for layer in compared
        ): images.to_image(image)
        for title, image in changed.items()
    }
)

# %% [markdown]
# For the shallow layer, moving the cat by eight pixels costs half as much as removing the cat: it
# compares edges almost pixel by pixel. The deep layer hardly notices the darker picture, and still
# recognises the moved cat; but it misses the fur in the blurred one. That is why the content of a
# painting is measured in a deep layer, by default `relu4_2`. Colours and strokes can then change.
#
# ## The Gram matrix: which patterns go together
#
# Style is what remains when we ignore *where* things are. Take any two maps of a layer, multiply
# them position by position, and add up the products:
#
# $$G^l_{ij} = \sum_k F^l_{ik} F^l_{jk} .$$
#
# $G_{ij}$ is large if patterns $i$ and $j$ often appear together, for example *yellow* with *curved
# stroke*. The sum over $k$ runs over all positions, so their order does not matter. Let us check
# that by shuffling the positions of the painting's maps.

# %%
with torch.no_grad():
    F = vgg.features(painting, ["relu3_1"])["relu3_1"]
shuffled = F.flatten(2)[..., torch.randperm(F[0, 0].numel())].view_as(F)

G, H = losses.gram_matrix(F), losses.gram_matrix(shuffled)
print(f"Maps: {tuple(F.shape)}. Gram matrix: {tuple(G.shape)}.")
print(f"Shuffling changes the maps by {float((F - shuffled).norm() / F.norm()):.0%}")
print(f"and their Gram matrix by {float((G - H).norm() / G.norm()):.5%}.")

# %% [markdown]
# ## Style: the same patterns together, anywhere
#
# Two pictures have the same style if their Gram matrices agree, in several layers at once. If $A$
# is the Gram matrix of the painting,
#
# $$L^l_{style} = \frac{1}{4 N_l^2 M_l^2} \sum_{ij} \left( G^l_{ij} - A^l_{ij} \right)^2,
# \qquad L_{style} = \sum_l w_l\, L^l_{style} .$$
#
# (A painting may have another size than the photograph. Then its sum has another number of
# positions, so $A$ is first multiplied by $M_l / M^{painting}_l$.)
#
# Can this number distinguish painters? Cut the five bundled paintings in two, and compare each left
# half with each right half. The two halves of a painting show different things in the same style.
# If the number measures style, the diagonal is dark: each left half is nearest to its own right
# half.


# %%
def style_distance(F, A, positions):
    """Compare maps F with another picture's Gram matrix A, summed over `positions`."""
    channels, here = F.shape[1], F[0, 0].numel()
    return losses.style_loss(losses.gram_matrix(F), A * (here / positions), channels, here)


titles = [name.removesuffix(".jpg") for name in samples.names("style")]
lefts, rights = [], []
with torch.no_grad():
    for title in titles:
        image = pixels_of(samples.path("style", title))
        middle = image.shape[-1] // 2
        lefts.append(vgg.features(image[..., :middle], ["relu3_1"])["relu3_1"])
        rights.append(vgg.features(image[..., middle:], ["relu3_1"])["relu3_1"])
    distances = torch.tensor(
        [[style_distance(F, losses.gram_matrix(R), R[0, 0].numel()) for R in rights] for F in lefts]
    )

_, ax = plt.subplots(figsize=(5, 4.5), layout="constrained")
ax.imshow(distances.log10(), cmap="magma")
ax.set_xticks(range(len(titles)), [f"{title}\nright" for title in titles], fontsize="small")
ax.set_yticks(range(len(titles)), [f"{title}, left" for title in titles], fontsize="small")
ax.set_title("style loss at relu3_1")
for (down, across), distance in np.ndenumerate(distances.numpy()):
    shade = "white" if distance < distances.median() else "black"
    ax.text(across, down, f"{distance:.1f}", ha="center", va="center", color=shade)

# %% [markdown]
# ## Both at once, in fifteen lines
#
# A painting minimises the weighted sum of the two losses,
#
# $$L_{total} = \alpha\, L_{content} + \beta\, L_{style} ,$$
#
# and it may change every pixel. So: start with the photograph, compute the gradient of $L_{total}$
# with respect to all pixels, take a step downhill, repeat. This is the whole algorithm. The rest of
# the package makes it fast and its pictures good.

# %%
content_layer, style_layers = "relu4_2", ["relu1_1", "relu2_1", "relu3_1", "relu4_1"]
alpha, beta = 1.0, 1e4

with torch.no_grad():
    P = vgg.features(photograph, [content_layer])[content_layer]
    S = vgg.features(painting, style_layers)
    A = {layer: losses.gram_matrix(S[layer]) for layer in style_layers}

image = photograph.clone().requires_grad_()
optimiser = torch.optim.Adam([image], lr=0.02)
stages, number = {"step 0": images.to_image(image)}, min(60, ROW_STEPS)
for step in range(1, number + 1):
    F = vgg.features(image, [*style_layers, content_layer])
    content = losses.content_loss(F[content_layer], P) / P[0, 0].numel()
    style = sum(style_distance(F[n], A[n], S[n][0, 0].numel()) for n in style_layers)
    total = alpha * content + beta * style
    optimiser.zero_grad()
    total.backward()
    optimiser.step()
    if step in (1, number // 6, number // 2, number):
        stages[f"step {step}: {float(total.detach()):,.0f}"] = images.to_image(image)
row(stages)

# %% [markdown]
# (Here the content loss is divided by its number of positions, as `impasto` does by default. It
# grows with the size of the picture, and the style loss does not. Without the division a larger
# picture would need another $\alpha$.)
#
# It works, but it has faults: specks in the flat areas, strokes shorter than the painter's, and the
# photograph's colours show through. `impasto` improves this. It starts from the photograph in the
# painting's colours. It paints a small picture first and then refines it: a stroke across the small
# picture becomes a long stroke in the large one. It uses curvature (L-BFGS), and a smoothness term
# makes neighbouring pixels similar.
#
# ## Three calls
#
# `main` does all that. It shows content, style and result side by side, writes the picture and an
# animation of the painting to `img/results`, and returns the result. First, **style transfer**.
#
# (Nobody dances in `dancing.jpg`, and Picasso did not paint `picasso.jpg`: these are just the
# names that notebooks on style transfer have always used. The photograph shows the astronaut
# Eileen Collins; the painting was painted by a program, stroke by stroke.)

# %%
painted = main(
    content_path="img/content/dancing.jpg",
    style_path="img/style/picasso.jpg",
    mode="style_transfer",
    imsize=SIZE,
    num_steps=STEPS,
)

# %% [markdown]
# **Content** alone, starting from noise: only $L_{content}$ is minimised. The result shows what
# layer `relu4_2` preserves of the photograph. (The photograph is the argument `style_path`, and the
# noise is `content_path`.)

# %%
main(
    content_path="noise",
    style_path="img/content/dancing.jpg",
    mode="content",
    imsize=SIZE,
    num_steps=STEPS,
)

# %% [markdown]
# **Style** alone, also from noise: only $L_{style}$ is minimised. The result is a texture: it has
# the painting's patterns but none of its objects. This is what remains of a woman with a guitar
# when positions are ignored.

# %%
main(
    content_path="noise",
    style_path="img/style/picasso.jpg",
    mode="style",
    imsize=SIZE,
    num_steps=STEPS,
)

# %% [markdown]
# ## The losses over time
#
# Every result has the history of its losses. At each grey line the painting continued at a larger
# size. The picture was enlarged, which blurs it, so the loss jumps and then falls again. (Losses at
# different sizes cannot be compared.)

# %%
curves = painted.history.plot()
# %% [markdown]
# `painted.history` is a list of rows. `painted.history.columns()` returns the same as columns, and
# `pandas.DataFrame(painted.history)` makes a table. Here are the last losses; each term is
# multiplied by its weight:

# %%
for name, value in painted.history.losses().items():
    print(f"{name:18} {value:8,.0f}")

# %% [markdown]
# And these are stages of the painting, first side by side and then as an animation.

# %%
with Image.open(painted.path.with_suffix(".gif")) as run:
    frames = [frame.convert("RGB") for frame in ImageSequence.Iterator(run)]

moments = [round((len(frames) - 1) * share) for share in (0, 0.02, 0.08, 0.25, 0.5, 1)]
row({f"frame {moment + 1}": frames[moment] for moment in dict.fromkeys(moments)})

# %%
small = [frame.resize((144, 144 * frame.height // frame.width)) for frame in frames[::2]]
stream = io.BytesIO()
small[0].save(
    stream, "GIF", save_all=True, append_images=small[1:] + [small[-1]] * 10, duration=120, loop=0
)
Shown(data=stream.getvalue(), format="gif")

# %% [markdown]
# ## What each layer preserves of the content
#
# Rebuild a photograph from one layer at a time, each time from the same noise. The first three
# blocks preserve nearly every hair. In block 4 the colours are no longer exact. Block 5 preserves
# that there are two eyes in a furry face, but only roughly where. (Deeper layers leave more open;
# there the smoothness term, `total_variation`, has more influence.)

# %%
cat = samples.path("content", "chelsea")
smoothness = {"relu1_2": 20, "relu2_2": 200, "relu3_2": 1000, "relu4_2": 4000, "relu5_2": 8000}
row(
    {
        layer: impasto.content(
            cat,
            content_layers=layer,
            total_variation=smooth,
            size=ROW_SIZE,
            iterations=ROW_STEPS,
        ).image
        for layer, smooth in smoothness.items()
    },
    width=14,
)

# %% [markdown]
# ## What each layer adds to the style
#
# Now the same with style, with more and more layers. `relu1_1` alone gives the right colours, in
# blots. `relu2_1` adds dabs, and `relu3_1` adds strokes. With `relu4_1` the strokes form stars and
# whorls. Nothing is at its old position, but everything has the painter's style. (`relu5_1` adds
# little, because its default weight is small.)

# %%
night = samples.path("style", "nocturne")
depths = ["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"]
grown = {"the painting": Image.open(night)}
for count in range(1, len(depths) + 1):
    grown[f"+ {depths[count - 1]}" if count > 1 else depths[0]] = impasto.style(
        night, style_layers=depths[:count], size=ROW_SIZE, iterations=ROW_STEPS
    ).image
row(grown, width=14)

# %% [markdown]
# ## The layers' weights: how large the strokes are
#
# $w_l$ is the weight of each layer. Here one layer has all the weight. The results are: colours in
# soft patches; short bristles; longer strokes that follow the fur; whole whorls and stars, with
# harsh colours between them, because no shallow layer controls those. The patterns of `relu5_1` are
# so large that it leaves most of the photograph as it is. The default, 16 : 8 : 4 : 2 : 1, combines
# all of them.

# %%
row(
    {
        f"only {layer}": impasto.style_transfer(
            cat, night, style_layers=layer, size=ROW_SIZE, iterations=ROW_STEPS
        ).image
        for layer in depths
    },
    width=14,
)

# %% [markdown]
# ## $\alpha$ and $\beta$: the balance of content and style
#
# Only their ratio matters. From left to right the photograph has more and more weight, with the
# same painting.

# %%
glass = samples.path("style", "glass")
row(
    {
        f"α = {weight:g}": impasto.style_transfer(
            cat, glass, alpha=weight, size=ROW_SIZE, iterations=ROW_STEPS
        ).image
        for weight in (1, 10, 50, 200, 1000)
    },
    width=14,
)

# %% [markdown]
# ## The initial image
#
# The loss has many local minima, and the initial image determines which of them is reached.
# *Matched*, the default, is the photograph with the mean and covariance of the painting's colours.
# If painting starts from *the photograph* itself, its colours survive. From *noise*, the cat must
# form first; from *the painting*, it forms between the stars and fields. (Here $\alpha = 20$. With
# 1, the last two would end in a texture and in the painting itself, without the cat.)

# %%
starts = {
    "matched": "matched",
    "the photograph": "content",
    "noise": "noise",
    "the painting": "style",
}
row(
    {
        title: impasto.style_transfer(
            cat, night, start=start, alpha=20, size=ROW_SIZE, iterations=ROW_STEPS
        ).image
        for title, start in starts.items()
    },
    width=14,
)

# %% [markdown]
# ## Try it yourself
#
# - Your own pictures: `main("me.jpg", "img/style/woodcut.jpg")`. Larger: `imsize=1024`.
# - Two painters at once: `main("me.jpg", ["img/style/glass.jpg", "img/style/nocturne.jpg"])`, and
#   `style_weights=(2, 1)` for more of the first.
# - A texture of any shape: `impasto.style("img/style/woodcut.jpg", aspect="3:1")`.
# - Set `pooling="average"`, as the authors did; the strokes get softer.
# - Change `beta` in the fifteen lines above. When does the cat disappear?
#
# ## Sources
#
# - L. A. Gatys, A. S. Ecker, M. Bethge. *A Neural Algorithm of Artistic Style.* 2015.
#   [arXiv:1508.06576](https://arxiv.org/abs/1508.06576)
# - L. A. Gatys, A. S. Ecker, M. Bethge. *Image Style Transfer Using Convolutional Neural Networks.*
#   IEEE Conference on Computer Vision and Pattern Recognition (CVPR), 2016, pages 2414 to 2423.
# - F. Chollet. *Deep Learning with Python*, second edition. Manning, 2021. The notebook that this
#   project began from followed its chapter on neural style transfer.
# - K. Simonyan, A. Zisserman. *Very Deep Convolutional Networks for Large-Scale Image
#   Recognition.* 2015. [arXiv:1409.1556](https://arxiv.org/abs/1409.1556)
#
# The photographs and paintings are credited in `examples/README.md`.
