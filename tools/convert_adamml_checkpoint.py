r"""Makes a run from a file that AdaMML's authors have released.

  python tools/convert_adamml_checkpoint.py adamml_rgb_sound.pth.tar --output_dir=RUN \
    --data_dir=DATA
  python -m tfmm.evaluate --model_dir=RUN --split=test

PyTorch is not needed. The file is of AdaMML, of late fusion or of one modality; the
recipe of its modalities is found by the input channels of its networks, so that their
order in the file does not matter (--gin_file names another one). Decisions are then
taken by argmax, as the recipe says; the authors' evaluation draws them:
--gin_param="adamml.AdaMML.test_gate = 'sample'".
"""

from absl import flags

import conversion_flags
from tfmm import command_line


def define_flags(values: flags.FlagValues):
  conversion_flags.define_flags(values, needs_recipe=False)


def convert(path: str, values: flags.FlagValues):
  """Writes the run and says what it is."""
  import converted_run
  from tfmm.models import fusion
  from tfmm.weights import adamml_names
  from tfmm.weights import torch_file
  from tfmm.weights import torch_names

  content = torch_file.read(path)
  arrays = torch_names.state_dict(content, path)
  classes = converted_run.read_classes(
      values, adamml_names.num_classes(arrays, path), path)
  channels = adamml_names.input_channels(arrays, path)
  recipe = converted_run.load_recipe(values, adamml_names.recipe(channels))
  model = recipe.make_model(num_classes=len(classes.labels))
  if not isinstance(model, fusion.LateFusion):
    raise ValueError(
        f'the model of the recipe is of the kind {type(model).__name__}; only AdaMML, '
        'late fusion and single modalities can be filled.')
  adamml_names.fill(model, arrays, path, class_order=classes.order)
  print(f'{path}: {type(model).__name__} of {", ".join(model.modalities)}')
  facts = {key: content[key] for key in ('arch', 'epoch', 'stage')
           if isinstance(content.get(key), (int, str))}
  if model.temperature is not None:
    value, told = adamml_names.temperature(content)
    if value is None:
      told += ", so the recipe's"
    else:
      model.temperature.assign(value)
    facts['temperature'] = float(model.temperature.numpy())
    print(f'temperature: {facts["temperature"]:.3g}, {told}; it decides nothing, only '
          'gradients depend on it')
  print(f'{len(classes.labels)} classes: {classes.told}')
  converted_run.write(
      model, values.output_dir, recipe=recipe, classes=classes,
      source={'file': path, **facts})
  print(f'written: {values.output_dir}')


def main(argv, values: flags.FlagValues = flags.FLAGS):
  conversion_flags.run(argv, 'convert_adamml_checkpoint', convert, values)


if __name__ == '__main__':
  define_flags(flags.FLAGS)
  flags.adopt_module_key_flags(conversion_flags)  # for --help
  command_line.run('convert_adamml_checkpoint', main)
