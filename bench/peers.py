"""The environments of other programs, each of its own, so that none of them meets our libraries or another's.

They lie in `crawl-curate-bench` in the user's cache and are made by pip once; where it cannot, a peer is left out
with a word. PyTorch, which only imagededup's CNN needs, is not installed.
"""

import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
NEEDED: dict[str, list[list[str]]] = {  # what pip is asked for, call by call
    "imagededup": [
        ["--no-deps", "imagededup==0.3.3.post2"],
        ["numpy", "pillow", "scipy", "PyWavelets", "scikit-learn", "tqdm", "matplotlib"],
    ],
    "faiss": [["faiss-cpu", "numpy>=2"]],
    "cleanvision": [["cleanvision==0.3.7"]],
    "fastdup": [["fastdup==2.54"]],
    "img2dataset": [["img2dataset==1.47.0", "opencv-python-headless<5"]],
    "requests_loop": [["requests", "pillow"]],
    "scrapy_images": [["scrapy", "pillow"]],
}
SAME = {"imagededup_search": "imagededup", "faiss_binary": "faiss"}  # contenders that share one


def python_for(peer: str) -> str | None:
    """The interpreter that runs a peer, its environment made where there is none; None where that fails."""
    peer = SAME.get(peer, peer)
    if peer not in NEEDED:
        return sys.executable
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "crawl-curate-bench" / peer
    python, whole = folder / "bin" / "python", folder / "whole"
    if not whole.exists():
        print(f"making an environment for {peer} in {folder}", file=sys.stderr)
        try:
            venv.create(folder, clear=True, with_pip=True)
            for wanted in NEEDED[peer]:
                command = [str(python), "-m", "pip", "install", "--quiet", *wanted]
                subprocess.run(command, check=True, capture_output=True)
            whole.touch()
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"{peer} is left out: {error}", file=sys.stderr)
            return None
    return str(python)
