from .vgg import Network as Network
from .vgg import load as load
