"""What a recipe can say: a typed tree; `facekd.recipes` reads it."""

from facekd.config.distill import DistillRecipe as DistillRecipe
from facekd.config.distill import LossRecipe as LossRecipe
from facekd.config.distill import PartnerRecipe as PartnerRecipe
from facekd.config.distill import TapsRecipe as TapsRecipe
from facekd.config.parts import DataRecipe as DataRecipe
from facekd.config.parts import HeadRecipe as HeadRecipe
from facekd.config.parts import MachineRecipe as MachineRecipe
from facekd.config.parts import ModelRecipe as ModelRecipe
from facekd.config.parts import Recipe as Recipe
from facekd.config.parts import RouteRecipe as RouteRecipe
from facekd.config.parts import ScheduleRecipe as ScheduleRecipe
from facekd.config.parts import StudentRecipe as StudentRecipe
from facekd.config.parts import ViewsRecipe as ViewsRecipe
from facekd.config.search import SearchRecipe as SearchRecipe
from facekd.config.teach import TeachRecipe as TeachRecipe
