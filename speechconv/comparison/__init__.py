"""Features against another library's, number by number.

scale        what a feature is: amplitude, power, their logarithm; its level in dB
librosa      the stages of a pipeline, rebuilt with librosa in float64
measure      how far two arrays of features are apart, and where most
result       Comparison: the figures, and both arrays
engine       compare: all of it in order
plot         a picture: ours, theirs, the difference
"""

from speechconv.comparison.engine import compare
from speechconv.comparison.result import Comparison

__all__ = ["Comparison", "compare"]
