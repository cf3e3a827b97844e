"""Fast kernels for the recurrent layers of small networks, on a CPU, with the weights of torch's own modules.

torch spends most of a step between its operations, not on arithmetic. Here one compiled function reads all steps of a
layer, and another one goes back through them. A *tile* is sixteen windows side by side: each row of a buffer is a
vector (`vectors`) with one number of each, so that every instruction works on all sixteen. A step embeds its input,
where that is asked for, makes two products of a weight matrix with rows (`matmul`) and one pass over the units for
gates and state (`cells`). On the way back, gradients of the weights are summed over a chunk of steps while it is in the
cache. Tiles go to all cores (`memory`), and sums over tiles have an order that does not depend on how many there are.
`autograd` makes it differentiable, `dispatch` decides when it is used: `tsforecast.networks.recurrent.read` asks there.
"""
