"""The cost sheet: what a module costs, layer by layer, for one input (a batch of 1) in the module's own type.

multiply-add      one product and its addition, two floating-point operations. Those of weights with inputs count, as
                  they run: convolutions (every tap, padding zeros too), Linear, Mel and DCT as dense products, learned
                  STFT filters, PCEN's smoother, the moments of utterance statistics. Not counted: biases, norms,
                  activations, pooling, windows and whatever else works value by value, and weights made of weights.
FFT               1.25 n log2 n multiply-adds, rounded up, for each real FFT of n samples (benchFFT's 2.5 n log2 n
                  operations), told apart as `transforms`. torch's flop counter counts `products` alone.
a second          what each further second of a long recording adds, exactly. For the described input, its edges and
                  whatever fills it up count as they are.
real-time factor  two operations for every multiply-add, at a stated speed: an estimate. What is not counted, and memory
                  too slow for the arithmetic, make it worse; measure on the device.
parameters        all of them, biases included; `weights` are those of two axes and more.
outputs           bytes of every tensor that a layer gives, each once: in place or as a view it gives none. Of what
                  functions make inside a module of torch, its output alone is among them; the rest is in the most at
                  once.
forward memory    the input and all outputs together, as tables of networks have it; and the most that stands at once,
                  layer by layer on the whole input. The tiles of `forward` without a gradient, and a stream, need less.
training memory   what autograd keeps for the backward pass, as torch tells on a pass in training mode: each memory
                  once, at the layer that saves it first; no parameters, gradients or state of an optimiser. What is
                  unknown may have other kernels on a device than on meta tensors (attention, recurrences): this figure,
                  and the most at once, are then those of meta tensors, and may be several times too large or small.
state             bytes that one live stream remembers; in all, with its two counters.
geometry          of the chain so far, in input samples: stride, receptive field, lookahead. Of pictures along the first
                  axis, and only behind an unbroken chain of modules; that group and instance norms look at every place,
                  fields leave out.
unknown           a layer without a rule, and a module of torch without one that does more than work value by value or
                  has parameters of its own: it is listed, not taken for nothing, and totals say "at least". So is a
                  module that replaces a method of its kind, and a part of a speechconv layer that has forward hooks;
                  of hooks elsewhere, what multiplies is listed. `rules.rule` takes rules for layers of one's own.

rules         Work, and a rule for each kind of module: torch_rules, layer_rules, family_rules
inside        parts of layers of many parts
stage         Stage: a row
by_shape      rows of speechconv's layers, by shapes alone
by_trace      rows of torch's modules, by one pass on meta tensors; spans: how these lie on their input; meta: the copy
products      operations of torch that multiply
doubt         what is unknown, and why
training      what autograd keeps
streaming     what a stream remembers
description   Description: rows, totals, JSON
table         the same for people: text and Markdown
engine        describe: all of it in order

Sources: Stanford CS231n, "Convolutional networks", VGGNet in detail (weights, memory of the forward pass); Howard et
al. 2017, "MobileNets", arXiv 1704.04861 (mult-adds); FFTW, fftw.org/speed/method.html (operations of an FFT).
"""

from speechconv.cost.description import Description
from speechconv.cost.engine import describe
from speechconv.cost.stage import Stage

__all__ = ["Description", "Stage", "describe"]
