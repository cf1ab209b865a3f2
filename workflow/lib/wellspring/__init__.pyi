from .api.images import Encoder as Encoder
from .api.images import aggregate as aggregate
from .api.images import read_plate as read_plate
from .api.images import segment as segment
from .api.profiles import apply_alignment as apply_alignment
from .api.profiles import consensus as consensus
from .api.profiles import evaluate_profiles as evaluate_profiles
from .api.profiles import fit_alignment as fit_alignment
from .api.profiles import normalise as normalise
from .api.profiles import read_profiles as read_profiles
from .api.profiles import write_report as write_report

__version__: str
