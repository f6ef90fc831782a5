"""Imported by the server that forks the tests' commands: what each of them would import and compute anew."""

import gc

from hydra import compose, initialize_config_dir
from transformers import LlamaForCausalLM  # noqa: F401

import llmrec.training.recommending  # noqa: F401
from llmrec.components import COMPONENTS, code
from llmrec.conf_dir import conf_dir

code(COMPONENTS)
with initialize_config_dir(conf_dir(), version_base="1.3"):
    compose("config")
gc.freeze()
