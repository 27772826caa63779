from .functional import content_loss as content_loss
from .functional import deviation_loss as deviation_loss
from .functional import eigen as eigen
from .functional import gram_matrix as gram_matrix
from .functional import structure_distance as structure_distance
from .functional import style_loss as style_loss
from .functional import total_variation as total_variation
from .functional import wasserstein_loss as wasserstein_loss
