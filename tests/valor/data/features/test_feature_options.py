"""Options of features and recipes are values that need no torch."""

import subprocess
import sys

from tests.conftest import ROOT
from valor.data.features.feature_files import FEATURE_FILES
from valor.data.features.feature_options import FEATURE_KINDS


def test_every_kind_an_option_may_name_has_a_reader():
    assert tuple(FEATURE_FILES) == FEATURE_KINDS


def test_recipes_need_no_torch():
    code = "import sys\nsys.modules['torch'] = None\nfrom valor.training.recipes import RECIPES\nprint(len(RECIPES))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(done.stdout) > 5
