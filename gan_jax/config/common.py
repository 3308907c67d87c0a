"""Config keys that all systems share, and those of an optimiser."""

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
  'system': key(
    'gan', string, 'the system to train: a module of gan_jax/systems/'
  ),
  'seed': key(
    0,
    integer(0, 2**32 - 1),
    'seed of the initialisation, the noise and the data order',
  ),
  'parallel': key(
    'auto',
    one_of('auto', 'jit', 'pmap', 'shard_map'),
    'how a batch is split over devices; auto: jit on one device, pmap on '
    'several, shard_map on several processes',
    free=True,
  ),
  'dtype': key(
    'float32',
    one_of('float32', 'bfloat16'),
    "dtype of the networks' computation",
  ),
  'init.source': key(
    None,
    optional(string),
    'a run to take initial parameters from, RUN[@latest|best|STEP]'
    '[:generator|discriminator|all][,ema][,optimizer]; None: random ones',
    since=3,
  ),
  'init.rename': key(
    None,
    optional(string),
    'renames parameter paths of RUN: OLD=NEW;OLD=NEW, regular expressions; '
    'None: no renaming',
    since=3,
  ),
  'init.sha256': key(
    None,
    optional(string),
    'hash of the loaded state; recorded when the run starts, then checked',
    since=3,
  ),
  'data.name': key('digits', string, 'the data set'),
  'data.data_dir': key(
    None,
    optional(string),
    'folder of the data; None: TFDS_DATA_DIR, or none is needed',
    free=True,
  ),
  'data.made_up': key(
    False,
    boolean,
    'whether to train on random images of the same shape, without the data',
    since=2,
  ),
  'data.batch_size': key(
    64, integer(1), "images per update of D, over all devices"
  ),
  'data.num_validation': key(
    100, integer(1), 'validation images, held out from the training split'
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
    'length of the run in epochs, if num_steps is None or 0',
    free=True,
  ),
  'train.steps_per_dispatch': key(
    1, integer(1), 'steps per call of the compiled function'
  ),
  'train.num_microbatches': key(
    1,
    integer(1),
    'gradient accumulation: equal parts that a batch is split into; their '
    'gradients are averaged',
  ),
  'checkpoint.save_every_steps': key(
    None, optional(integer(1)), 'steps between checkpoints; None: an epoch'
  ),
  'checkpoint.keep': key(3, integer(1), 'number of recent checkpoints to keep'),
  'checkpoint.best_metric': key(
    None,
    optional(string),
    'a reported metric, such as validation_fid, whose best checkpoint is also '
    'kept',
  ),
  'eval.batch_size': key(500, integer(1), 'batch size of evaluations'),
  'eval.metrics': key(
    None,
    optional(string),
    "metrics of generated against validation images, e.g. 'fid,prdc'; None: "
    'none',
  ),
  'eval.extractor': key(
    None,
    optional(string),
    'feature extractor of the metrics: the run of a classifier, or '
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
    (5, 10),
    integers(1, 100, length=2),
    'rows and columns of the grid of samples',
    free=True,
  ),
  'log.tensorboard': key(
    True,
    boolean,
    'whether curves and samples are also written for TensorBoard',
    free=True,
  ),
}  # fmt: skip


def _averages() -> Variants:
  """Returns the row of a player's moving average."""
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
          'half-life of the average, in images',
          since=3,
        ),
        'ramp_up': key(
          None,
          optional(real(1e-6)),
          'upper limit of the half-life, as a fraction of the images so far; '
          'None: no limit',
          since=3,
        ),
        **schedule('schedule', 'the half-life', 10_000.0, half_life),
      },
      'power': {
        'gamma': key(
          6.94, real(0.0), 'exponent of the power-function average', since=3
        )
      },
    },
    'moving average of the weights; gan_jax.ema defines each',
    since=3,
  )


def optimizer(
  player: str, *, learning_rate: float = 2e-4, b1: float = 0.5
) -> Table:
  """Returns the rows of `optimizer.PLAYER`, with a system's own defaults."""
  group = f'optimizer.{player}'
  decay = real(0.0, 1.0, exclusive=True)
  return {
    group: Variants(
      'adam',
      {
        'adam': {
          'b1': key(b1, decay, 'decay of the first moment'),
          'b2': key(0.999, decay, 'decay of the second moment'),
          **schedule('b2_schedule', 'b2', 0.999, decay),
          'eps': key(1e-8, real(0.0), 'added outside the square root'),
          'eps_root': key(0.0, real(0.0), 'added inside the square root'),
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
      'frozen parameters: a regular expression that matches their paths, such '
      'as Conv_[01]/; None: all are trained',
      since=3,
    ),
  }  # fmt: skip
