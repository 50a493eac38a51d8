"""Architectures, one family a module; importing this package registers all of them."""

from facekd.models.architectures import graph as graph
from facekd.models.architectures import iresnet as iresnet
from facekd.models.architectures import lenet as lenet
from facekd.models.architectures import mlp as mlp
from facekd.models.architectures import mobilefacenet as mobilefacenet
from facekd.models.architectures import mobilenetv2 as mobilenetv2
from facekd.models.architectures import resnet_bottleneck as resnet_bottleneck
from facekd.models.architectures import resnet_cifar as resnet_cifar
from facekd.models.architectures import resnet_pruned as resnet_pruned
from facekd.models.architectures import shufflenet as shufflenet
from facekd.models.architectures import vgg as vgg
from facekd.models.architectures import wide_resnet as wide_resnet
from facekd.models.architectures import zoo as zoo
