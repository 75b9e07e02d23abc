"""Cascade: error correction by asking for parities, back and forth (EUROCRYPT '93; arXiv:1407.3257).

Both ends split the block into lanes (schedule.py), 64 of which lie side by side in machine words (frames.py). A pass
takes the places of all lanes in its own order (order.py) and cuts them into blocks, whose parities the source tells. A
block that differs holds an odd number of errors; halving it finds one (nodes.py). A flipped bit makes blocks of other
passes differ, which are searched in turn: the cascade. All searches go forward together, a question and an answer a
round (search.py at the sink, answers.py at the source), and the sink's words are as short as they can be: which half.

What it tells an eavesdropper: the source's parities are counted in `leaked`, each of them. What the sink says is a
function of them and of which bits differed, so a proof has to grant the eavesdropper the positions of the errors as
well (Tupkary, Luetkenhaus, arXiv:2307.00576, who find the same key rate in many cases and a lower one in others).
"""

from __future__ import annotations

from .talks import sink, source

__all__ = ["sink", "source"]
