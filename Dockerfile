# The studio in a container:
#
#   docker build -t impasto .
#   docker run --rm -p 8500:8500 -v impasto-pictures:/pictures impasto
#
# It prints the address to open. One painting, from the folder that holds the pictures:
#
#   docker run --rm -v "$PWD":/pictures impasto transfer cat.jpg night.jpg -o cat.png
#
# --build-arg WEIGHTS= leaves the network's weights out; they are then fetched when first needed.

FROM python:3.12-slim-bookworm AS build
COPY . /source/
# PyTorch's build without CUDA, which takes gigabytes less.
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu
WORKDIR /source
RUN python -m venv /opt/impasto \
    && /opt/impasto/bin/pip install --constraint constraints.txt ".[notebook,studio,video]"

FROM python:3.12-slim-bookworm
ARG WEIGHTS=vgg16
COPY --from=build /opt/impasto /opt/impasto
ENV PATH=/opt/impasto/bin:$PATH IMPASTO_CACHE=/weights
RUN useradd --create-home --uid 1000 painter \
    && mkdir /pictures /weights \
    && chown painter /pictures /weights
USER 1000
# "impasto weights fetch" checks each file's hash.
RUN if [ -n "$WEIGHTS" ]; then impasto weights fetch "$WEIGHTS"; fi
VOLUME /pictures
WORKDIR /pictures
EXPOSE 8500
ENTRYPOINT ["impasto"]
CMD ["studio", "--host=0.0.0.0", "--folder=/pictures/studio"]
