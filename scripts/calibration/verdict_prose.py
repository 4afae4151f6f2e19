"""The words of docs/evidence/verdicts.md; scripts/calibrate_verdicts.py puts the figures in."""

INTRODUCTION = """# Is the verdict right?

A study declares a plan before its first run: arms, control, seeds, and the looks at which it is
tested. `senet-compare` judges by the plan: the paired t of every arm and its control (the linear
model accuracy ~ arm + seed of these two), with Holm's method over all arms of the plan. A plan of N
seeds has one look, at N, which spends an error of 0.04; 0.01 is kept for an extension
(`reserve=0` keeps nothing). `seeds=auto` looks at 3, 5, 8, 12 and 20 seeds, and spends the error as
the square of the seeds. Half of the error may be given to one primary arm. Runs without a plan are
tested at 3, 5, 8, 12 and 20 seeds with errors of 0.005, 0.015, 0.01, 0.01 and 0.01.

Here studies with a known truth are simulated and judged by that rule. It is computed for all tables
at once; in every world and design the package's own code judges {num_compared} of the tables too,
and must say the same.

**Why the error is kept.** Let the first arm that is called without cause be called at some look.
All that left the family before were called with cause, so it still holds every arm without an
effect, and this arm's p was at most the look's error times its part of their weights. Summed over
those arms and all looks that is at most 0.05. This assumes that differences at the seeds are
independent and near normal, and that the plan was made before the runs. Arms may differ in variance
and be correlated.

Read first:

- False `better` or `worse` are at most 5 % **of tables**, whatever the number of arms, but for the
  skewed worlds [below](#runs-that-lose-points). False `equivalent` have 5 % of their own.
- The verdict is about **new seeds on this test set**. Whether it would hold on new images is
  another question: the bootstrap has a column of its own and never gives a verdict.
- A plan shows more with the same runs. Three declared seeds show a difference of {at_3:.1f}
  residual standard deviations of one run with power 0.8, five show {at_5:.1f}; without a plan five
  show {old_at_5:.1f}.

In the first table a run gets image i right with probability Phi(shift - difficulty_i). The shift
holds the arm, a seed effect common to all arms and an arm x seed interaction. The sizes resemble a
ResNet-20 on CIFAR-10: 91 %, 10,000 images, two runs disagree on 8 % of them; standard deviations in
points: seed 0.15, arm x seed 0.15, images 0.20. Real records scatter more: 4 to 13 times what
independent images explain, and arms are hardly correlated. The second table has such worlds. A
*noisy* arm has 3 times the variance of its own noise, *akin* arms share a seed effect of 0.25 that
the control has not. Counts of right answers are drawn as rounded normals of the exact mean and
variance. Against {num_checked} runs with every answer drawn: mean {short_mean:.3f} and
{long_mean:.3f} %, standard deviation {short_sd:.3f} and {long_sd:.3f} points.
"""

FALSE_VERDICTS = """
## With nothing to find

Percent of tables in which any arm without an effect is called better or worse; {num_tables:,}
tables a row, so that a true 5 % shows as {low:.1f} to {high:.1f} in 19 of 20 rows. `grows to 20`:
`seeds=auto` in which no arm stops. The columns with a plan spend the whole 0.05.

{table}

Where arms share noise, or tails are heavy, the rule errs less often than it may.

## With nothing to find, in worse worlds

The same, with runs that are normal around 91 %, or as the name says: variances in units of
0.25 points squared, seed effects, tails, and test sets of few images.

{table_worse}

Cells above {high:.1f} in the two tables, with {num_again:,} other tables each:

{again}
"""

SKEWED = """
## Runs that lose points

The rule assumes no long tail on one side. An arm may lose points in some runs (a bad start, a
learning rate at its edge). Here it loses 2 points in a tenth of its runs, and its other runs are
0.2 points above the control's, so that the means are equal. {num_tables:,} tables a row.

{table}

**No rule can keep 5 % here with few seeds.** A table in which no run was lost looks exactly like
one of an arm that is 0.2 points better. A tenth of the runs is lost, so N seeds show none with
probability 0.9^N. A rule that calls a true difference of 0.2 points with some power errs at least
so often as both together: that is the column *at least*, for the power of the t-test. With 20 seeds
or fewer nearly all false verdicts are of this kind.

What can be done is done:

- From 8 seeds on the differences are tested for a long tail on the side opposite to their mean
  (D'Agostino's test of skewness, one-sided, at 0.003). Where it is found the verdict is *withheld*,
  and the arm stays in Holm's family. That helps where some lost runs are seen: the error is down to
  5 % at about 40 seeds, and hardly changed at 20.
- Runs that diverge or fail are known. An arm that lost a run is never called better, and the
  control's loss is never an arm's gain. A plan's look does not count seeds behind a lost run.
- With N seeds, a loss that hits fewer than 1 - 0.05^(1/N) of the runs may well not be seen: 63 % at
  3 seeds, 45 % at 5, 31 % at 8, 22 % at 12, 14 % at 20.

### What the check costs where nothing is skewed

Percent of arms called better without the check > with it, at differences that are shown with some
0.8. It costs half a point where runs are normal, and less than 5 points with the tails of Student's
t with 3 degrees of freedom.

{table_price}
"""

GIVEN_VERDICTS = """
## How often each verdict is given

{num_tables:,} tables a row; every arm has the effect (points). Percent of arms called
better / worse / equivalent with so many declared seeds (0.04 spent, 0.01 kept), and with the same
seeds without a plan; the rest is undecided. Margin {margin} points.

{table}
"""

POWER = """
## More verdicts at the same error

Percent of arms called better: without a plan > declared (as the primary arm); {num_tables:,} tables
a row, nothing kept.

{table}

Seeds that show a difference of 2 residual standard deviations with power 0.8:

{table_seeds}
"""

EXTENSIONS = """
## Extensions

An extension looks again, at more seeds, and spends half of what its parent kept. How long it is may
be chosen when the first seeds are known. The worst chooser knows the t of the first seeds and takes
the length at which a false verdict is likeliest. Percent of tables of one arm with a false verdict,
{num_tables:,} tables a row; fewer than 3 seeds are a trial, which spends nothing.

{table}
"""

POOLED = """
## Why the residual is not pooled over the table

The linear model of the whole table has one residual for all arms, and more degrees of freedom. It
is right only where all arms are equally noisy and equally correlated. Percent of tables with a
false verdict at one look, 5 seeds, error 0.05, {num_tables:,} tables a row:

{table}

So the verdict stands on the contrast's own residual, and the pooled p is printed beside it.
"""

BOOTSTRAP = """
## New images: the bootstrap's coverage

{num_tables:,} studies a row, one arm and its control, each with new seeds and {num_images:,} new
images, {num_samples:,} samples. The arms differ in which images they find hard (a sixteenth of the
variance of difficulty). Percent of 95 % intervals that hold the true difference on the population
of images (95 % interval of the simulation), and mean width in points.

{table}

The bootstrap is too wide: resampling both seeds and images counts the noise of single answers
three times (Owen 2007). The verdict's interval is about these images and has no duty here: it
covers less as seeds are added, because no number of seeds replaces new images.
"""

PAIRING = """
## What pairing by seed is worth

{num_tables:,} tables of one arm and a control: percent called better, paired / unpaired (Welch), at
one look with an error of 0.05, against the correlation rho of their accuracies over seeds. The
difference (in sd of a run) is what Student's unpaired t shows with power 0.5, then 0.8, at rho 0.
Break-even: the rho below which pairing loses.

{table}
"""

SHOWN_BY_SEEDS = """
## What a number of seeds can show

The smallest true difference that is shown with power 0.8, for 1 to 8 arms beside the control, in
residual standard deviations of a run (the sd of the paired differences over the square root of 2).
Declared with the default reserve / with nothing kept / without a plan. In the simulated world one
such standard deviation is 0.25 points.

{table}
"""

SIGNATURE = """
Made by `OPENBLAS_NUM_THREADS=1 uv run scripts/calibrate_verdicts.py --out
docs/evidence/verdicts.md`, commit {commit}, one core of {cpu}, {minutes:.0f} minutes.
"""
