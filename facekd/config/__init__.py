"""What a recipe can say: a typed tree; `facekd.config.loading` reads it."""

from facekd.config.common import DataRecipe as DataRecipe
from facekd.config.common import HeadRecipe as HeadRecipe
from facekd.config.common import MachineRecipe as MachineRecipe
from facekd.config.common import ModelRecipe as ModelRecipe
from facekd.config.common import Recipe as Recipe
from facekd.config.common import RouteRecipe as RouteRecipe
from facekd.config.common import ScheduleRecipe as ScheduleRecipe
from facekd.config.common import StudentRecipe as StudentRecipe
from facekd.config.common import ViewsRecipe as ViewsRecipe
from facekd.config.distill import DistillRecipe as DistillRecipe
from facekd.config.distill import LossRecipe as LossRecipe
from facekd.config.distill import PartnerRecipe as PartnerRecipe
from facekd.config.distill import TapsRecipe as TapsRecipe
from facekd.config.search import SearchRecipe as SearchRecipe
from facekd.config.train import TeachRecipe as TeachRecipe
