"""Architectures in one registry, and the interface through which models are evaluated."""

from facekd.models import iresnet as iresnet
from facekd.models import mobilefacenet as mobilefacenet
from facekd.models import mobilenetv2 as mobilenetv2
from facekd.models import resnet_bottleneck as resnet_bottleneck
from facekd.models import resnet_cifar as resnet_cifar
from facekd.models import resnet_found as resnet_found
from facekd.models import shufflenet as shufflenet
from facekd.models import vgg as vgg
from facekd.models import wide_resnet as wide_resnet
from facekd.models import zoo as zoo
