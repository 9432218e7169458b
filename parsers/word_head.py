"""Classes by the captions of two teachers: a parser that is told other captions parses for other classes.

    z = A x + W f, brought to length 1  where a segment of features x, encoded f, lies among captions
    logit of class c = s <z, w_c> + b   w_c its caption, of length 1
    beside the losses of a parser       mean of 1 - cos(A x + W f, A x): how far segments stray from their teachers

Each modality has captions, A, W, s and b of its own. A is where the teacher itself places the segment: it is found
before the training and stays. W begins at zero, s and b with the teacher's own, so that an untrained parser says what
the teachers say, of any class; the further loss keeps it so for classes no other loss is about.

Source: after TCaF, Mercea et al., ECCV 2022, which has words in the place of the rows of a classifier, as far as its
idea goes: its network, equal to its code, is `valor.parsers.words`. There segments are clips, words are embedded once
more, and nothing is known of where a teacher places them; here, A is what keeps unseen classes apart.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

_NAMES = ("audio", "visual")
"""Of the modality axis, as its buffers are called."""


class WordHead(nn.Module):
    """Logits of segments from where they lie among captions."""

    def __init__(self, width: int, in_widths: tuple[int, int], word_widths: tuple[int, int], num_classes: int) -> None:
        """Make it with captions of zeros, which are told later.

        Args:
            width: D of encoded segments.
            in_widths: Of audio and visual features.
            word_widths: Of audio and visual captions.
            num_classes: C.
        """
        super().__init__()
        # Of slices of [B, T, M, D] oneDNN, which `Dense` asks, is fourteen times slower in a step.
        projections = [nn.Linear(width, inner) for inner in word_widths]
        for projection in projections:
            nn.init.zeros_(projection.weight)
            nn.init.zeros_(projection.bias)
        self.projections = nn.ModuleList(projections)
        self.log_scale = nn.Parameter(torch.zeros(len(_NAMES)))
        self.bias = nn.Parameter(torch.zeros(len(_NAMES)))
        for modality, inside, inner in zip(_NAMES, in_widths, word_widths, strict=True):
            self.register_buffer(f"{modality}_words", torch.zeros(num_classes, inner))
            self.register_buffer(f"{modality}_places", torch.zeros(inside + 1, inner))

    def take(self, audio_words: Tensor, visual_words: Tensor) -> None:
        """Parse for these classes from now on: captions float [C, P] of length 1, of any number of classes.

        Raises:
            ValueError: They are not as wide as those of the training, or not as many in both modalities.
        """
        for modality, words in zip(_NAMES, (audio_words, visual_words), strict=True):
            held: Tensor = getattr(self, f"{modality}_words")
            if words.dim() != 2 or words.shape[1] != held.shape[1] or len(audio_words) != len(words):
                raise ValueError(
                    f"{modality} captions must be [{len(audio_words)} classes, {held.shape[1]}], got "
                    f"{list(words.shape)}; they are of another teacher than those of the training"
                )
            setattr(self, f"{modality}_words", words.to(held))

    def begin(self, places: tuple[Tensor, Tensor], scales: tuple[float, float], biases: tuple[float, float]) -> None:
        """Say what the teachers say: A of each modality, float [D_in + 1, P] with its constant last, s and b."""
        for modality, place in zip(_NAMES, places, strict=True):
            getattr(self, f"{modality}_places").copy_(place)
        with torch.no_grad():
            self.log_scale.copy_(torch.tensor(scales).log())
            self.bias.copy_(torch.tensor(biases))

    def placed(self, modality: int, features: Tensor) -> Tensor:
        """Where its teacher places segments of one modality: features [..., D_in] -> [..., P], of about length 1."""
        places: Tensor = getattr(self, f"{_NAMES[modality]}_places")
        return features.to(places) @ places[:-1] + places[-1]

    def of(self, modality: int, features: Tensor, encoded: Tensor) -> Tensor:
        """Logits [..., C] of segments of one modality, from features [..., D_in] and the same encoded, [..., D]."""
        words: Tensor = getattr(self, f"{_NAMES[modality]}_words")
        z = self.placed(modality, features) + self.projections[modality](encoded)
        cosines = functional.normalize(z, dim=-1) @ words.T
        return self.log_scale[modality].exp() * cosines + self.bias[modality]

    def strayed(self, audio: Tensor, visual: Tensor, encoded: Tensor, valid: Tensor | None = None) -> Tensor:
        """How far segments lie from where their teachers place them: the mean of 1 - cosine, a scalar.

        Arguments as of `forward`; valid bool [B, T], the segments that exist.
        """
        far = []
        for modality, features in enumerate((audio, visual)):
            place = self.placed(modality, features)
            z = place + self.projections[modality](encoded[:, :, modality])
            far.append(1 - functional.cosine_similarity(z, place, dim=-1))  # [B, T]
        away = torch.stack(far, dim=2)
        return away.mean() if valid is None else away[valid].mean()

    def forward(self, audio: Tensor, visual: Tensor, encoded: Tensor) -> Tensor:
        """Logits [B, T, M, C] from features [B, T, D_audio] and [B, T, D_visual], and encoded [B, T, M, D]."""
        return torch.stack([self.of(m, x, encoded[:, :, m]) for m, x in enumerate((audio, visual))], dim=2)
