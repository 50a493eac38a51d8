"""Recipes: the typed configuration of a run. `facekd.config.loading` reads them from YAML."""

from facekd.config.common import AugmentationRecipe as AugmentationRecipe
from facekd.config.common import DataRecipe as DataRecipe
from facekd.config.common import HeadRecipe as HeadRecipe
from facekd.config.common import MachineRecipe as MachineRecipe
from facekd.config.common import ModelRecipe as ModelRecipe
from facekd.config.common import Recipe as Recipe
from facekd.config.common import RouteRecipe as RouteRecipe
from facekd.config.common import StudentRecipe as StudentRecipe
from facekd.config.common import TrainingRecipe as TrainingRecipe
from facekd.config.distill import DistillRecipe as DistillRecipe
from facekd.config.distill import FeatureLayersRecipe as FeatureLayersRecipe
from facekd.config.distill import JointTeacherRecipe as JointTeacherRecipe
from facekd.config.distill import LossRecipe as LossRecipe
from facekd.config.search import SearchRecipe as SearchRecipe
from facekd.config.train import TrainRecipe as TrainRecipe
