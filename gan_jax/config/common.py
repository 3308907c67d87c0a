"""The rows of the table that all systems have, and those of an optimiser."""

from gan_jax.config.ranges import (
  boolean,
  integer,
  integers,
  one_of,
  optional,
  pattern,
  real,
  string,
)
from gan_jax.config.schedules import schedule
from gan_jax.config.table import Table, Variants, key

COMMON: Table = {
  'system': key('gan', string, 'what is trained: a file of gan_jax/systems/'),
  'seed': key(
    0, integer(0, 2**32 - 1), 'seed of initialisation, noise and shuffles'
  ),
  'parallel': key(
    'auto',
    one_of('auto', 'jit', 'pmap', 'shard_map'),
    'how a batch is split over devices; auto: not at all on one device',
    free=True,
  ),
  'dtype': key(
    'float32',
    one_of('float32', 'bfloat16'),
    'number format in which the networks compute',
  ),
  'init.source': key(
    None,
    optional(string),
    'another run whose parameters this one starts with, RUN[@latest|best|STEP]'
    '[:generator|discriminator|all][,ema][,optimizer]; None: fresh ones',
    since=3,
  ),
  'init.rename': key(
    None,
    optional(string),
    'what paths in RUN become here: OLD=NEW;OLD=NEW, regular expressions; '
    'None: they are the same',
    since=3,
  ),
  'init.sha256': key(
    None,
    optional(string),
    'of what is taken; written when the run starts, then checked',
    since=3,
  ),
  'data.name': key('digits', string, 'the data set'),
  'data.data_dir': key(
    None,
    optional(string),
    'its folder; None: TFDS_DATA_DIR, or none is needed',
    free=True,
  ),
  'data.made_up': key(
    False,
    boolean,
    'random images of its shape instead of its own, which need not be there',
    since=2,
  ),
  'data.batch_size': key(
    64, integer(1), "images per update of D, over all devices"
  ),
  'data.num_validation': key(
    100, integer(1), 'images put aside from the training split'
  ),
  'train.num_steps': key(
    None,
    optional(integer(0)),
    'length of the run in steps; None or 0: in epochs',
    free=True,
  ),
  'train.num_epochs': key(
    None,
    optional(integer(0)),
    'length of the run in passes over the data, if num_steps is None or 0',
    free=True,
  ),
  'train.steps_per_dispatch': key(
    1, integer(1), 'steps that a device takes without the host'
  ),
  'train.num_microbatches': key(
    1,
    integer(1),
    'equal pieces of a batch that pass one after the other; their gradients '
    'are averaged',
  ),
  'checkpoint.save_every_steps': key(
    None, optional(integer(1)), 'steps between checkpoints; None: an epoch'
  ),
  'checkpoint.keep': key(3, integer(1), 'how many of the latest are kept'),
  'checkpoint.best_metric': key(
    None,
    optional(string),
    'a value of the reports, such as validation_fid: the checkpoint with its '
    'best is kept too',
  ),
  'eval.batch_size': key(500, integer(1), 'images per step of an evaluation'),
  'eval.metrics': key(
    None,
    optional(string),
    "of generated against validation images, e.g. 'fid,prdc'; None: none",
  ),
  'eval.extractor': key(
    None,
    optional(string),
    'whose features the metrics are in: a run that classifies, or '
    'inception:FILE',
  ),
  'eval.num_samples': key(1000, integer(4), 'generated images per evaluation'),
  'eval.eval_every_steps': key(
    None,
    optional(integer(1)),
    'steps between evaluations of the metrics; None: with each report',
  ),
  'log.report_every_steps': key(
    None,
    optional(integer(1)),
    'steps between reports; None: an epoch',
    free=True,
  ),
  'log.grid': key(
    (5, 10), integers(1, 100, length=2), 'rows, columns of samples', free=True
  ),
  'log.tensorboard': key(
    True, boolean, 'whether curves and samples go to TensorBoard too', free=True
  ),
}  # fmt: skip


def _averages() -> Variants:
  """The row of a player's moving average."""
  decay = key(0.999, real(0.0, 1.0, exclusive=True), 'decay per step', since=3)
  half_life = real(0.0)
  return Variants(
    'none',
    {
      'none': {},
      'debiased': {'decay': decay},
      'warmup': {'decay': decay},
      'half_life': {
        'half_life': key(
          10_000.0,
          half_life,
          'images after which a weight counts half',
          since=3,
        ),
        'ramp_up': key(
          None,
          optional(real(1e-6)),
          'limit of the half-life as a share of the images so far; None: none',
          since=3,
        ),
        **schedule('schedule', 'the half-life', 10_000.0, half_life),
      },
      'power': {
        'gamma': key(
          6.94, real(0.0), 'the power with which memory grows', since=3
        )
      },
    },
    'the moving average of the weights, by its function in gan_jax.ema',
    since=3,
  )


def optimizer(
  player: str, *, learning_rate: float = 2e-4, b1: float = 0.5
) -> Table:
  """The rows of `optimizer.PLAYER`, with a system's own defaults."""
  group = f'optimizer.{player}'
  decay = real(0.0, 1.0, exclusive=True)
  return {
    group: Variants(
      'adam',
      {
        'adam': {
          'b1': key(b1, decay, 'decay of the mean'),
          'b2': key(0.999, decay, 'decay of the variance'),
          **schedule('b2_schedule', 'b2', 0.999, decay),
          'eps': key(1e-8, real(0.0), 'added outside of the square root'),
          'eps_root': key(0.0, real(0.0), 'added inside of the square root'),
        },
        'sgd': {},
      },
      'the update rule',
    ),
    f'{group}.learning_rate': key(
      learning_rate, real(0.0), 'learning rate before the schedule'
    ),
    **schedule(
      f'{group}.schedule', 'the learning rate', 0.0, real(0.0), since=1
    ),
    f'{group}.ema': _averages(),
    f'{group}.freeze': key(
      None,
      optional(pattern),
      'parameters that stay as they are: a regular expression that their paths '
      'match, such as Conv_[01]/; None: all learn',
      since=3,
    ),
  }  # fmt: skip
