from .vgg import VGGFeatures as VGGFeatures
from .vgg import load as load
