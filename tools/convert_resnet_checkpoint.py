r"""Makes a start for training from an image network's PyTorch file.

  python tools/convert_resnet_checkpoint.py resnet50.pth --output_dir=RUN_IMAGENET \
    --gin_file=gin_configs/rgb.gin --data_dir=DATA
  python -m tfmm.train --gin_file=gin_configs/rgb.gin --data_dir=DATA \
    --model_dir=RUN_RGB --init_from=RUN_IMAGENET

The file holds torchvision's ResNet or MobileNetV2, usually ImageNet's weights; PyTorch
is not needed. The recipe has one modality. If its network looks at another number of
channels than 3 (flow, RGB differences, sound), each gets the mean of the first
convolution's three filters, as AdaMML's authors do. ImageNet's classifier is left out;
the run's own has the classes of the data and random values, drawn from --seed.
"""

from absl import flags

import conversion_flags
from tfmm import command_line


def define_flags(values: flags.FlagValues):
  conversion_flags.define_flags(values)
  flags.DEFINE_integer('seed', 0, "Of the classifier's random values.",
                       flag_values=values)


def convert(path: str, values: flags.FlagValues):
  """Writes the run and says what it is."""
  import tensorflow as tf
  import converted_run
  from tfmm.weights import torch_file
  from tfmm.weights import torch_names
  from tfmm.weights import transfer as transfer_lib

  arrays = torch_names.state_dict(torch_file.read(path), path)
  recipe = converted_run.load_recipe(values)
  classes = converted_run.read_classes(values)
  tf.keras.utils.set_random_seed(values.seed)
  model = recipe.make_model(num_classes=len(classes.labels))
  if len(model.modalities) != 1:
    raise ValueError(
        f'the recipe has the modalities {", ".join(model.modalities)}; give one of a '
        'single modality, such as --gin_file=gin_configs/rgb.gin')
  modality, = model.modalities
  encoder = model.encoders[modality].backbone
  transfer = transfer_lib.Transfer(arrays, path, mean_filter=True)
  channels = torch_names.stem_channels(transfer)
  torch_names.fill_encoder(transfer, '', encoder)
  transfer.finish(encoder.variables, unused=torch_names.is_classifier)
  converted_run.write(
      model, values.output_dir, recipe=recipe, classes=classes, source={'file': path})
  wanted = encoder.row_spec.shape[-1]
  print(f'{path}: {type(encoder).__name__} over {channels} channels -> {modality}'
        + (f', {wanted} times the mean filter' if wanted != channels else ''))
  print(f'{len(classes.labels)} classes: {classes.told}; classifier drawn from seed '
        f'{values.seed}')
  print(f'written: {values.output_dir}; train with --init_from={values.output_dir}')


def main(argv, values: flags.FlagValues = flags.FLAGS):
  conversion_flags.run(argv, 'convert_resnet_checkpoint', convert, values)


if __name__ == '__main__':
  define_flags(flags.FLAGS)
  flags.adopt_module_key_flags(conversion_flags)  # for --help
  command_line.run('convert_resnet_checkpoint', main)
