#!/usr/bin/env bash
# The logits of a tiny BlipForQuestionAnswering of transformers 5.24.0 and 4.57.6 for a question alone, and for the same question with padding and its
# mask, as in a batch with a longer one.
# It needs no file of this project; torch is installed with it. It takes some minutes.   findings/transformers-blip-mask.sh
#   PYTHON=FILE  the Python that makes the environments, with packages from PyPI (default: python3)
# It prints what it saw, and ends with 1 if that differs from what findings/README.md says.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/see.py" << 'END'
import torch, transformers
from transformers import BlipConfig, BlipForQuestionAnswering

torch.manual_seed(0)
size = dict(hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=4)
config = BlipConfig(text_config=dict(**size, vocab_size=50, max_position_embeddings=20, bos_token_id=1, sep_token_id=2), vision_config=dict(**size, image_size=32, patch_size=16))
model = BlipForQuestionAnswering(config).eval()
for parameter in model.parameters():
    torch.nn.init.normal_(parameter, std=0.3)
question, padding = torch.tensor([[5, 6, 7]]), torch.zeros(1, 4, dtype=torch.long)
states = torch.randn(1, 5, 32)


def outputs(ids, mask):
    with torch.no_grad():
        read = model.text_encoder(ids, attention_mask=mask, encoder_hidden_states=states).last_hidden_state
        return read[:, :3], model.text_decoder(torch.ones(1, 1, dtype=torch.long), encoder_hidden_states=read, encoder_attention_mask=mask).logits


alone = outputs(question, torch.ones_like(question))
padded = outputs(torch.cat([question, padding], 1), torch.cat([torch.ones_like(question), padding], 1))
said = ["others" if (a - b).abs().max().item() > 1e-3 else "the same" for a, b in zip(alone, padded)]
print(f"transformers {transformers.__version__}: with padding and its mask the states of the question are {said[0]}, the logits of the answer {said[1]}")
END

python=${PYTHON:-python3}
for version in 4.57.6 5.24.0; do
  "$python" -m venv "$folder/$version"
  "$folder/$version/bin/python" -m pip install --progress-bar off --no-compile torch==2.11.0 "transformers==$version"
  "$folder/$version/bin/python" "$folder/see.py" 2> "$folder/errors" | tee -a "$folder/seen" || { cat "$folder/errors"; exit 1; }
done
diff - "$folder/seen" << 'END'
transformers 4.57.6: with padding and its mask the states of the question are the same, the logits of the answer others
transformers 5.24.0: with padding and its mask the states of the question are the same, the logits of the answer others
END
