"""Make G_base: the helpful-only model that can follow a policy in its prompt.

In:  the pretrained model (package, hub, path); models/reader where base.reader is true
Out: models/base (bf16 safetensors, tokenizer, chat template, ref.json)
Invariant: it has seen no safety policy; without one it complies with everything.
"""
