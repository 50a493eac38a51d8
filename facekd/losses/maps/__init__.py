"""Losses of intermediate feature maps."""

from facekd.losses.maps import ab as ab
from facekd.losses.maps import at as at
from facekd.losses.maps import fsp as fsp
from facekd.losses.maps import ft as ft
from facekd.losses.maps import hint as hint
from facekd.losses.maps import ie_at as ie_at
from facekd.losses.maps import ie_kd as ie_kd
from facekd.losses.maps import ie_od as ie_od
from facekd.losses.maps import nst as nst
from facekd.losses.maps import ofd as ofd
from facekd.losses.maps import reviewkd as reviewkd
from facekd.losses.maps import vid as vid
