"""Exact 1:N identification: ranks among any number of distractors, open-set identification in a gallery.

Ranks and thresholds are those of float64 scores, although nearly all scores are computed in float32 and none are
stored. Four ideas make this exact:

1. A score is defined once, in `mates.exact_scores`: the float64 dot product of two float32 rows, summed in a fixed
   order. Equal rows therefore have equal scores, and a distractor equal to the mate ties with it (and counts as ahead).
2. A float32 product of unit rows differs from the exact score by at most n u / (1 - n u) with u = 2**-24, in any order
   of summation (Higham 2002, eq. 3.5; `mates.float32_error_bound`). `rank_counter` accepts a float32 comparison only
   beyond that distance, and computes the rest again with `exact_scores`. So BLAS, torch, a GPU and any number of
   threads give the same ranks.
3. `score_bounds` skips products whose upper bound is below everything that a probe needs. A bound includes its own
   rounding errors, so it never hides a score.
4. `top_scores` keeps more than the k highest impostor scores, namely all within twice the error of the k-th. The
   k-th one, a threshold, is then found among exact scores.

`streaming` reads the distractors once, a block at a time. The counts of blocks are integers, whose sum does not depend
on the order: threads, processes of torchrun and interrupted runs (`partial_counts`) add up to the same result.
`score_tiles` holds the products of a tile while they are in the caches, `counting_thresholds` minimizes the time, and
`per_identity` keeps the counts that bootstrap resamples are computed from. `gallery` decides ranks in the same way,
among identities with several rows each.
"""
