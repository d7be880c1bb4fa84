"""Pass a corpus through one codec: `python -m export.recode SPEECH FOLDER --corpora emodb`.

Where some emotions of a corpus lie on disk as recorded and others as Opus, the codec gives the
emotion away. This writes each clip that is not Opus yet as 16 kHz mono Ogg Opus, copies the others,
and writes a table of the same name for them. It also makes corpora smaller, to carry them.
"""

from __future__ import annotations

import csv
import shutil
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path, PurePosixPath

import soundfile as sf

from export.corpora.clips import RATE, Clip, CorpusError, check, of_corpora, read_clips, read_rows
from export.evaluation.judging import spread_out
from export.evaluation.options import above_zero, command_parser, new_folder


def recode(clip: Clip, folder: Path, kilobits: float) -> str:
    """Write a clip below `folder`; its path there, with / between.

    Args:
        clip: as recorded, or Opus, which is copied: coded twice it would differ again.
        folder: of the new corpus.
        kilobits: a second, 6 to 256.

    Raises:
        CorpusError: for a file that cannot be decoded.
    """
    name = _coded(clip)
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    if clip.path.suffix == ".opus":
        shutil.copyfile(clip.path, file)
        return name
    # libsndfile's compression of 0 is 256 kbit/s, of 1 is 6.
    level = (256 - kilobits) / 250
    samples = clip.samples().clip(-1, 1)
    sf.write(file, samples, RATE, "OPUS", format="OGG", compression_level=level)
    return name


def _coded(clip: Clip) -> str:
    """Where a clip is in the new corpus."""
    return PurePosixPath(clip.name).with_suffix(".opus").as_posix()


def write_corpus(
    root: Path, table: str, folder: Path, corpora: Sequence[str] | None, kilobits: float
) -> int:
    """Recode the clips of `root/table`; how many.

    Args:
        root: of the corpus.
        table: its name, such as clips.csv.
        folder: of the new corpus; not `root`.
        corpora: those of the table that are wanted; None for all.
        kilobits: a second.

    Raises:
        CorpusError: if the table cannot be used, lacks one of them or has two clips that would be
            one, a clip cannot be read to its end, or `folder` is `root` or has such a table.
    """
    if folder.resolve() == root.resolve():
        raise CorpusError(f"{folder} is the corpus itself; give another folder.")
    clips = of_corpora(read_clips(root, table, None), corpora)
    if (folder / table).exists():
        raise CorpusError(f"{folder / table} exists; remove it, or give another folder.")
    coded = Counter(_coded(clip) for clip in clips)
    if twice := [name for name, count in coded.items() if count > 1]:
        raise CorpusError(f"Two clips of {root / table} would become {twice[0]}; rename one.")
    check(clips)
    names = spread_out(partial(recode, folder=folder, kilobits=kilobits), clips, "clips", None)
    where = dict(zip((clip.name for clip in clips), names, strict=True))
    listed = read_rows(root / table)
    rows = [row for row in listed if PurePosixPath(row["path"]).as_posix() in where]
    splits = {clip.name: clip.split for clip in clips}  # some are not in the table
    with (folder / table).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys([*rows[0], "split"])))
        writer.writeheader()
        for row in rows:
            name = PurePosixPath(row["path"]).as_posix()
            writer.writerow(row | {"path": where[name], "split": splits[name]})
    if (root / "ages.csv").is_file():
        shutil.copyfile(root / "ages.csv", folder / "ages.csv")
    return len(clips)


def main() -> None:
    parser = command_parser(__doc__)
    parser.add_argument("corpus", type=Path, help="recode the corpus in this folder")
    parser.add_argument("folder", type=new_folder, help="write the new corpus to this folder")
    parser.add_argument(
        "--corpora", nargs="+", help="recode only these corpora of the table; all unless given"
    )
    parser.add_argument(
        "--table", default="clips.csv", help="recode the clips that this file lists"
    )
    parser.add_argument(
        "--kilobits",
        type=above_zero,
        default=24,
        help="write Opus of so many kilobits a second, 6 to 256",
    )
    options = parser.parse_args()
    if not 6 <= options.kilobits <= 256:
        parser.error("--kilobits takes 6 to 256")
    of = (options.corpus, options.table, options.folder, options.corpora, options.kilobits)
    try:
        print(f"wrote {write_corpus(*of)} clips to {options.folder}")
    except CorpusError as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
