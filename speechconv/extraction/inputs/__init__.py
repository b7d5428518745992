"""What is named -> which sounds to read, under which id, in a fixed order.

item        Input: one sound or a segment of one
files       files, folders and globs
lines       lists as text: lines, numbered, plain or gzipped, and what is wrong with one
kaldi       wav.scp and segments
json_lines  NeMo's and Hugging Face's manifests
lhotse      recordings and cuts
table       CSV and TSV
stdin_list  paths on stdin
kind        which of these a file is
unique      of inputs with one id, the first
channels    an input for each channel
finding     find_inputs: all of it
"""

from speechconv.extraction.inputs.finding import Found, find_inputs
from speechconv.extraction.inputs.item import Input

__all__ = ["Found", "Input", "find_inputs"]
