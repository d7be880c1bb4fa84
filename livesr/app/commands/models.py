"""`livesr models`: the bundled models."""

from __future__ import annotations


def models() -> None:
    """List the bundled models: training data, licence, labels."""

    from livesr.app.console import PlainConsole
    from livesr.model.load import DEFAULT, bundled, load_model

    console = PlainConsole()
    for name, path in bundled().items():
        info = load_model(name).info
        console.print(f"[bold]{name}[/]" + (" (default)" if name == DEFAULT else ""))
        for what, value in (
            ("trained on", info.training_data),
            ("licence", info.licence),
            ("labels", ", ".join(info.labels)),
            ("version", f"{info.version}, {path.stat().st_size / 1e6:.1f} MB"),
        ):
            console.print(f"  {what:<11}{value}", markup=False, soft_wrap=True)
