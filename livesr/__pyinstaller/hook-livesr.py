"""PyInstaller's hook: the models and the report's page, and the modules imported by name."""

from PyInstaller.utils.hooks import collect_data_files, collect_submodules

from livesr.model.load import models_directory

datas = collect_data_files("livesr", excludes=["models/*"])
datas += [(str(path), "livesr/models") for path in models_directory().glob("*.onnx")]
hiddenimports = collect_submodules(
    "livesr", filter=lambda name: "__pyinstaller" not in name, on_error="ignore"
)
