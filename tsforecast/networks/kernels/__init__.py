"""Quick kernels for the recurrent layers of small networks, on a CPU, with the weights of torch's own modules.

torch spends most of a step on the way between its parts, not on arithmetic. Here one compiled function reads all steps
of a layer, and another one goes back through them. A *tile* is sixteen windows side by side (`lanes`): each row of a
buffer holds one number for each of them, so that every instruction works on all sixteen; they get there and back by
squares that are turned (`squares`). A step embeds what it reads, where that is asked for, then makes two products of a
weight matrix with rows (`products`) and one pass over the units for gates and state (`gru`, `lstm`, `rnn`). On the way
back, gradients of the weights are summed over a chunk of steps while it is near the processor. Tiles go to all cores
(`threads`), and sums over tiles have an order that does not depend on how many there are. `function` tells torch how to
differentiate it, `choice` when all this is used: `tsforecast.networks.recurrent.read` asks there.
"""
