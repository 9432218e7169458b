"""Lean networks and losses of the later methods, computed the way their public codes compute them.

Every frame and every place of an upsampled map is projected before it is averaged, streams lie sequence first, each
attention is a torch.nn.MultiheadAttention, passes with and without the other stream are made one after the other, lost
tags are looked for class by class, each optimiser loops over its parameters. What public codes do beside a step (disk,
logging) is left out. They are for speed: values are held against the public codes elsewhere (tests/*/test_golden_*.py).
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

SEGMENTS, CLASSES = 10, 25
Bend = Callable[[Tensor], Tensor]


def bce(probs: Tensor, wanted: Tensor) -> Tensor:
    return functional.binary_cross_entropy(probs.clamp(1e-7, 1 - 1e-7), wanted)


def nce(one: Tensor, other: Tensor) -> Tensor:
    """Each second of one stream picks its own among those of the other; [B, T, D] both."""
    likeness = functional.normalize(one, dim=-1) @ functional.normalize(other, dim=-1).transpose(1, 2) / 0.2
    wanted = 0.9 * torch.eye(SEGMENTS) + 0.1 / 9 * (1 - torch.eye(SEGMENTS))
    return -(likeness.softmax(dim=-1) * wanted).sum(dim=-1).log().mean()


def lost(probs: list[Tensor], tags: Tensor, ratio: float = 0.1) -> list[Tensor]:
    """Smoothed tags of audio and visual without those that the other modality explains better, class by class."""
    targets = [tags.clone(), 0.9 * tags + 0.05]
    losses = [functional.binary_cross_entropy(p, t, reduction="none") for p, t in zip(probs, targets, strict=True)]
    for c in range(CLASSES):
        tagged = tags[:, c].nonzero().flatten()
        k = int(ratio * len(tagged))
        if not k:
            continue
        order = [losses[m][tagged, c].argsort() for m in (0, 1)]
        for m in (0, 1):
            worst = set(tagged[order[m][-k:]].tolist()) & set(tagged[order[1 - m][:k]].tolist())
            targets[m][list(worst), c] = 0
    return targets


class Layer(nn.Module):
    """Hybrid attention layer, post norm, on sequence-first streams; alone or with another."""

    def __init__(self, width: int, heads: int, inner: int) -> None:
        super().__init__()
        self.along, self.across = (nn.MultiheadAttention(width, heads, dropout=0.1) for _ in range(2))
        self.widen, self.narrow = nn.Linear(width, inner), nn.Linear(inner, width)
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.drop = nn.Dropout(0.1)

    def forward(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        mixed = x + self.drop(self.along(x, x, x)[0])
        if other is not None:
            mixed = mixed + self.drop(self.across(x, other, other)[0])
        mixed = self.norms[0](mixed)
        return self.norms[1](mixed + self.drop(self.narrow(self.drop(functional.relu(self.widen(mixed))))))


class Stem(nn.Module):
    """Raw features to two streams [T, B, width]."""

    def __init__(self, widths: tuple[int, int, int], width: int = 512, bend: Bend = lambda x: x) -> None:
        super().__init__()
        self.audio, self.visual, self.motion = (nn.Linear(each, width) for each in widths)
        self.fusion, self.bend = nn.Linear(2 * width, width), bend

    def forward(self, audio: Tensor, visual: Tensor, motion: Tensor) -> tuple[Tensor, Tensor]:
        if audio.shape[1] == SEGMENTS:
            heard = self.bend(self.audio(audio))
        else:  # a map of two halves
            halves = audio.view(-1, 2, 32, audio.shape[-1]).permute(0, 3, 1, 2)
            long = functional.interpolate(halves, size=(2, 1024), mode="bicubic", align_corners=False)
            places = self.bend(self.audio(long.permute(0, 2, 3, 1))).mean(dim=1)
            heard = functional.adaptive_avg_pool1d(places.transpose(1, 2), SEGMENTS).transpose(1, 2)
        seen = self.bend(self.visual(visual))
        if seen.shape[1] != SEGMENTS:
            seen = functional.avg_pool1d(seen.transpose(1, 2), seen.shape[1] // SEGMENTS).transpose(1, 2)
        seen = self.bend(self.fusion(torch.cat((seen, self.bend(self.motion(motion))), dim=-1)))
        return heard.transpose(0, 1), seen.transpose(0, 1)


class Jomold(nn.Module):
    """One layer of one head, three heads; a whole pass alone, from raw features on, says first who loses which tag."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.layer = Stem((128, 2048, 512)), Layer(512, 1, 512)
        self.heads = nn.ModuleList([nn.Linear(512, CLASSES) for _ in range(3)])

    def answer(self, raw: tuple[Tensor, ...], *, crossed: bool) -> tuple[list[Tensor], Tensor, list[Tensor]]:
        heard, seen = self.stem(*raw)
        pair = (heard, seen) if crossed else (None, None)
        streams = [x.transpose(0, 1) for x in (self.layer(heard, pair[1]), self.layer(seen, pair[0]))]
        features = torch.stack((streams[0], functional.dropout(streams[1], 0.5)), dim=2)
        probs = self.heads[0](features).sigmoid()
        over_time, over_modalities = self.heads[1](features).softmax(dim=1), self.heads[2](features).softmax(dim=2)
        clip = (over_time * over_modalities * probs).sum(dim=(1, 2))
        return list((over_time * probs).sum(dim=1).unbind(1)), clip, streams

    def loss(self, raw: tuple[Tensor, ...], tags: Tensor, labels: Tensor) -> Tensor:  # noqa: ARG002, tags alone
        with torch.no_grad():
            alone, _, _ = self.answer(raw, crossed=False)
        targets = lost(alone, tags)
        probs, clip, streams = self.answer(raw, crossed=True)
        return 2 * bce(probs[0], targets[0]) + bce(probs[1], targets[1]) + bce(clip, tags) + nce(*streams)


class Uwav(nn.Module):
    """Five layers of sixteen heads, the visual stream on the updated audio; frames are averaged, then projected.

    Weights of segments and mix-up; its label generator has no part in a step.
    """

    def __init__(self) -> None:
        super().__init__()
        self.audio = nn.Sequential(nn.Linear(128, 1024), nn.ReLU(), nn.Linear(1024, 512))
        self.visual = nn.Linear(2048 + 512, 512)
        self.layers = nn.ModuleList([Layer(512, 16, 2048) for _ in range(5)])
        self.heads = nn.ModuleList([nn.Linear(512, CLASSES) for _ in range(3)])

    def loss(self, raw: tuple[Tensor, ...], tags: Tensor, labels: Tensor) -> Tensor:
        audio, visual, motion = raw
        visual = functional.avg_pool1d(visual.transpose(1, 2), 8).transpose(1, 2)
        heard = self.audio(audio).transpose(0, 1)
        seen = self.visual(torch.cat((visual, motion), dim=-1)).transpose(0, 1)
        for layer in self.layers:
            heard = layer(heard, seen)
            seen = layer(seen, heard)
        features = torch.stack((heard, seen), dim=0).permute(2, 1, 0, 3)  # [B, T, M, D]
        logits, over_time, over_modalities = (head(features) for head in self.heads)
        weights = over_time.softmax(dim=1) * over_modalities.softmax(dim=2)
        total = bce((weights * logits.sigmoid()).sum(dim=(1, 2)), tags)
        balance = torch.where(tags[:, None] > 0, 12.0, 1.0).expand(-1, SEGMENTS, -1)
        for m in (0, 1):
            total = total + functional.binary_cross_entropy_with_logits(logits[:, :, m], labels[:, :, m], balance)
            x, y = features[:, :, m].reshape(-1, 512), labels[:, :, m].reshape(-1, CLASSES)
            share, order = float(torch.distributions.Beta(1.7, 1.7).sample()), torch.randperm(len(x))
            blended = self.heads[0](share * x + (1 - share) * x[order])
            one, other = (functional.binary_cross_entropy_with_logits(blended, t) for t in (y, y[order]))
            total = total + share * one + (1 - share) * other
        return total


def leaky(x: Tensor) -> Tensor:
    return functional.leaky_relu(x, 0.2)


class Cmpae(nn.Module):
    """Evidence of presence and absence behind one layer that runs alone and crossed, and a head of the whole clip.

    A whole pass alone, from raw features on, comes first, for who loses which tag.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.layer = Stem((128, 2048, 512), bend=functional.elu), Layer(512, 1, 512)
        self.clip = nn.ModuleList([nn.Linear(512, 512), nn.Linear(512, CLASSES)])
        self.present, self.absent, self.over_time = (nn.Linear(512, each * CLASSES) for each in (1, 1, 2))
        self.mixed = nn.ModuleList([nn.Linear(512, 512), nn.Linear(512, 512)])
        self.odd = False

    def answer(
        self, raw: tuple[Tensor, ...], *, crossed: bool
    ) -> tuple[list[Tensor], list[Tensor], Tensor, list[Tensor]]:
        heard, seen = self.stem(*raw)
        whole = self.clip[1](leaky(self.clip[0](heard)) + leaky(self.clip[0](seen))).sigmoid().mean(dim=0)
        streams = [self.layer(heard), self.layer(seen)]
        if crossed:
            both = self.layer(heard, seen), self.layer(seen, heard)
            streams = [0.8 * x + 0.2 * alone for x, alone in zip(both, streams, strict=True)]
        streams = [streams[0].transpose(0, 1), functional.dropout(streams[1], 0.5).transpose(0, 1)]
        probs, doubts = [], []
        for x, own in zip(streams, self.mixed, strict=True):
            against = self.absent(x + functional.dropout(leaky(own(streams[0] + streams[1])), 0.2))
            logits = torch.stack((self.present(x), against), dim=-1)
            attention = self.over_time(x).view(*logits.shape).softmax(dim=1)
            evidence = ((attention * logits).sum(dim=1).clamp(-10, 10) / 0.8).exp() + 1
            probs.append(evidence[..., 0] / evidence.sum(dim=-1))
            doubts.append(2 / evidence.sum(dim=-1))
        return probs, doubts, whole, streams

    def losses(
        self, raw: tuple[Tensor, ...], tags: Tensor, weights: tuple[float, ...]
    ) -> tuple[Tensor, list[Tensor], list[Tensor], list[Tensor]]:
        with torch.no_grad():
            alone = self.answer(raw, crossed=False)[0]
        targets = lost(alone, tags)
        probs, doubts, whole, streams = self.answer(raw, crossed=True)
        total = sum(w * bce(p, t) for w, p, t in zip(weights, (*probs, whole), (*targets, tags), strict=True))
        most = torch.maximum(*probs)
        mean, doubt = sum(probs) / 2, sum(doubts) / 2
        fixed = (whole, most.detach(), mean.detach()) if self.odd else (whole.detach(), most, mean)
        away = tags * (fixed[0] - fixed[1]) ** 2 + (1 - tags) * (1 - doubt) * (fixed[0] - fixed[2]) ** 2
        self.odd = not self.odd
        return total + nce(*streams) + away.mean(), probs, streams, targets

    def loss(self, raw: tuple[Tensor, ...], tags: Tensor, labels: Tensor) -> Tensor:  # noqa: ARG002, tags alone
        return self.losses(raw, tags, (2.0, 0.6, 0.6))[0]


class Nrep(nn.Module):
    """Logits for and against, off the crossed stream and the other one alone, pooled before they become beliefs."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.layer = Stem((768, 768, 512), bend=functional.elu), Layer(512, 1, 512)
        self.positive, self.negative = nn.Linear(512, CLASSES), nn.Linear(512, CLASSES)
        self.over_time, self.joint, self.joint_time = (nn.Linear(512, 2 * CLASSES) for _ in range(3))
        self.mixed = nn.ModuleList([nn.Linear(512, 512), nn.Linear(512, 512)])

    def loss(self, raw: tuple[Tensor, ...], tags: Tensor, labels: Tensor) -> Tensor:
        heard, seen = self.stem(*raw)
        alone = [self.layer(x).transpose(0, 1) for x in (heard, seen)]
        crossed = [self.layer(heard, seen).transpose(0, 1), self.layer(seen, heard).transpose(0, 1)]
        crossed[1] = functional.dropout(crossed[1], 0.5)
        blend = [0.8 * i + 0.2 * c for i, c in zip(alone, crossed, strict=True)]
        total, attention = nce(*blend), []
        for m in (0, 1):
            logits = torch.stack((self.positive(crossed[m]), self.negative(alone[1 - m])), dim=-1)
            attention.append(self.over_time(crossed[m]).view(*logits.shape).softmax(dim=1))
            pooled = (attention[m] * logits).sum(dim=1)
            total = total + (2 - m) * self.pair(logits, labels[:, :, m], 1)
            total = total + 0.01 * (2 - m) * self.pair(pooled, labels[:, :, m].amax(dim=1), 2)
        joint = sum(leaky(own(x)) for own, x in zip(self.mixed, blend, strict=True))
        logits = self.joint(joint).view(*attention[0].shape)
        over_time = self.joint_time(joint).view(*logits.shape).softmax(dim=1)
        total = total + self.pair((over_time * logits).sum(dim=1), tags, 2)
        total = total + self.pair(logits, labels.prod(dim=2) * tags[:, None], 2)
        frame = torch.maximum(*attention)
        for side in (0, 1):
            f, t = frame[..., side], over_time[..., side]
            total = total + 0.01 * (functional.softplus(-f) + f + functional.softplus(-t)).mean()
        return total

    def pair(self, logits: Tensor, wanted: Tensor, sides: int) -> Tensor:
        probs = logits.softmax(dim=-1)
        return sum(bce(probs[..., side], wanted if side == 0 else 1 - wanted) for side in range(sides))


class Residual(nn.Module):
    """Attention of a normalised query to keys that are not, and a feed-forward part."""

    def __init__(self, width: int = 512, heads: int = 8) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads, dropout=0.1)
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.inner = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Dropout(0.2), nn.Linear(width, width))

    def forward(self, q: Tensor, k: Tensor, mask: Tensor | None = None) -> Tensor:
        q = q + functional.dropout(self.attention(self.norms[0](q), k, k, attn_mask=mask)[0], 0.2)
        return q + functional.dropout(self.inner(self.norms[1](q)), 0.2)


class Leap(nn.Module):
    """MM-Pyramid's four levels, and labels that ask the seconds of each modality, two attention calls in each layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Stem((128, 2048, 512))
        self.own = nn.ModuleList([nn.ModuleList([Residual(), Residual()]) for _ in range(4)])
        self.cross = nn.ModuleList([Residual() for _ in range(4)])
        self.gates = nn.ModuleList([nn.ModuleList([nn.Linear(1024, 512), nn.Linear(1024, 512)]) for _ in range(4)])
        self.convs = nn.ModuleList(
            [
                nn.ModuleList([nn.Conv1d(512, 512, 3, padding=2**i, dilation=2**i), nn.Conv1d(512, 512, 1)])
                for i in range(4)
            ]
        )
        self.fuse, self.weigh = Residual(), nn.Linear(512, 1)
        self.labels, self.vectors = nn.Linear(300, 512), torch.rand(CLASSES, 300)
        self.ask = nn.ModuleList([nn.ModuleList([Residual(), Residual()]) for _ in range(2)])
        self.clips = nn.ModuleList([nn.Linear(512, 1), nn.Linear(512, 1)])

    def encode(self, streams: tuple[Tensor, Tensor]) -> list[Tensor]:
        far = (torch.arange(SEGMENTS)[:, None] - torch.arange(SEGMENTS)).abs()
        held: list[list[Tensor]] = [[], []]
        pair = list(streams)
        for i in range(4):
            mask = torch.where(far <= 2**i, 0.0, -1e9)
            after = []
            for m in (0, 1):
                s, c = self.own[i][m](pair[m], pair[m], mask), self.cross[i](pair[m], pair[1 - m], mask)
                both = torch.cat((s, c), dim=-1)
                x = self.gates[i][0](both).sigmoid() * s + self.gates[i][1](both).sigmoid() * c
                y = self.convs[i][1](functional.relu(self.convs[i][0](x.permute(1, 2, 0)))).permute(2, 0, 1)
                after.append(functional.relu(x + y))
                held[m].append(after[m])
            pair = after
        fused = []
        for levels in held:
            stacked = torch.stack(levels).flatten(1, 2)  # [4, T B, D]
            mixed = self.fuse(stacked, stacked)
            fused.append((mixed * self.weigh(mixed).sigmoid()).sum(dim=0).view(SEGMENTS, -1, 512))
        return fused

    def scores(self, attention: nn.MultiheadAttention, q: Tensor, x: Tensor) -> Tensor:
        """[B, T, C], the mean over heads before the softmax, of a whole attention call whose answer nobody takes."""
        parts = zip((q, x, x), attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3), strict=True)
        query, key, value = (functional.linear(*part).unflatten(-1, (8, 64)) for part in parts)
        scores = torch.einsum("cbhd,tbhd->bhct", query, key) / 8
        weights = functional.dropout(scores.softmax(dim=-1), 0.1)
        attention.out_proj(torch.einsum("bhct,tbhd->cbhd", weights, value).flatten(2))
        return scores.mean(dim=1).transpose(1, 2)

    def loss(self, raw: tuple[Tensor, ...], tags: Tensor, labels: Tensor) -> Tensor:
        streams = self.encode(self.stem(*raw))
        total, clips = torch.zeros(()), []
        for m, x in enumerate(streams):
            q = self.labels(self.vectors)[:, None].expand(-1, len(tags), -1)
            for layer in self.ask[m]:
                q = q + functional.dropout(layer.attention(layer.norms[0](q), x, x)[0], 0.2)
                score = self.scores(layer.attention, q, x)
                q = q + functional.dropout(layer.inner(layer.norms[1](q)), 0.2)
            clips.append(self.clips[m](q).squeeze(-1).t().sigmoid())
            total = total + bce(clips[m], labels[:, :, m].amax(dim=1)) + bce(score.sigmoid(), labels[:, :, m])
        total = total + bce(((clips[0] >= 0.5) | (clips[1] >= 0.5)).float(), tags)
        heard, seen = (functional.normalize(x.transpose(0, 1), dim=-1) for x in streams)
        shared = labels[:, :, 0] @ labels[:, :, 1].transpose(1, 2)
        r = shared / labels.sum(dim=3).amax(dim=(1, 2)).clamp_min(1e-8)[:, None, None]
        return total + ((heard @ seen.transpose(1, 2)).clamp_min(0) - r / (1 + r) - 0.01).square().mean()


class Branch(nn.Module):
    """Features of one class or of the background; those of what is seen go through one more layer."""

    def __init__(self, *, deep: bool) -> None:
        super().__init__()
        more = (nn.Dropout(0.1), nn.Linear(128, 128), nn.ReLU()) if deep else ()
        self.layers = nn.Sequential(nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), *more)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class MmCse(nn.Module):
    """A branch for each class and one for the background, an encoder among classes, three heads for each class."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Stem((768, 768, 512), 256)
        self.branches = nn.ModuleList([nn.ModuleList([Branch(deep=deep) for _ in range(26)]) for deep in (False, True)])
        self.alpha = nn.ModuleList(
            [nn.Sequential(nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 1)) for _ in range(2)]
        )
        self.merge = nn.ModuleList([nn.Linear(256, 128), nn.Linear(256, 128)])
        self.attend = nn.ModuleList([nn.MultiheadAttention(128, 8, dropout=0.1) for _ in range(8)])
        self.globals = nn.ModuleList([nn.Linear(128, 128) for _ in range(12)])
        self.outer = nn.ModuleList([nn.Linear(128, 128) for _ in range(8)])
        self.inner = nn.ModuleList(
            [nn.Sequential(nn.Linear(128, 512), nn.ReLU(), nn.Linear(512, 128)) for _ in range(4)]
        )
        self.norms = nn.ModuleList([nn.LayerNorm(128) for _ in range(4)])
        self.rebuild = nn.ModuleList(
            [nn.Sequential(nn.Linear(26 * 128, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU()) for _ in range(2)]
        )
        self.heads = nn.ModuleList([nn.ModuleList([nn.Linear(128, 1) for _ in range(CLASSES)]) for _ in range(3)])

    def gather(self, x: Tensor, by: Tensor, own: nn.Module, other: nn.Module) -> Tensor:
        """[B, T, C, D]: how like the mean of its clip each class is, times that mean."""
        mean = functional.relu(other(by)).mean(dim=1, keepdim=True)
        return functional.cosine_similarity(functional.relu(own(x)), mean, dim=-1).sigmoid()[..., None] * mean

    def block(self, i: int, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        clips = q.shape[0]
        rows, others = (x.flatten(0, 1).transpose(0, 1) for x in (q, k))
        found, maps = zip(
            *(self.attend[2 * i + n](rows, held, held) for n, held in enumerate((rows, others))), strict=True
        )
        one, two = (q + x.transpose(0, 1).view(clips, SEGMENTS, CLASSES, 128) for x in found)
        one = q + self.gather(one, one, self.globals[3 * i], self.globals[3 * i + 1])
        two = q + self.gather(two, k, self.globals[3 * i + 2], self.globals[3 * i + 2])
        mixed = self.norms[i](self.outer[2 * i](one) + self.outer[2 * i + 1](two))
        return self.inner[i](mixed), maps[0], maps[1]

    def loss(self, raw: tuple[Tensor, ...], tags: Tensor, labels: Tensor) -> Tensor:
        total, held = torch.zeros(()), []
        for m, stream in enumerate(self.stem(*raw)):
            x = stream.transpose(0, 1)
            found = [branch(x) for branch in self.branches[m]]
            every, ground = torch.stack(found[:CLASSES], dim=2), found[CLASSES]
            total = total + 0.5 * functional.mse_loss(self.rebuild[m](torch.cat(found, dim=-1)), x)
            alike = every if m == 0 else every.mean(dim=2, keepdim=True)
            total = total + 0.1 * functional.cosine_similarity(alike, ground[:, :, None], dim=-1).mean()
            gate = self.alpha[m](x).sigmoid()[:, :, None]
            behind = ((1 - gate) * ground[:, :, None]).expand_as(every)
            held.append(functional.relu(self.merge[m](torch.cat((gate * every, behind), dim=-1))))
        for i in range(4):
            heard, *of_heard = self.block(i, held[0], held[1])
            seen, *of_seen = self.block(i, held[1], held[0])
            held = [heard, seen]
        rows = [labels[:, :, m].flatten(0, 1) for m in (0, 1)]
        for m, maps in enumerate((of_heard, of_seen)):
            for found_map, other in zip(maps, (rows[m], rows[1 - m]), strict=True):
                total = total + 0.1 * functional.mse_loss(found_map, rows[m][:, :, None] * other[:, None])
        features = torch.stack(held, dim=2)  # [B, T, M, C, D]
        logits, over_time, over_modalities = (
            torch.cat([own[c](features[..., c, :]) for c in range(CLASSES)], dim=-1) for own in self.heads
        )
        weights = over_time.softmax(dim=1) * over_modalities.softmax(dim=2)
        total = total + bce((weights * logits.sigmoid()).sum(dim=(1, 2)), tags)
        segments = (functional.binary_cross_entropy_with_logits(logits[:, :, m], labels[:, :, m]) for m in (0, 1))
        return total + sum(segments)


class Reference(nn.Module):
    """One modality alone, with a token for every class."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem, self.layer = nn.Linear(width, 512), Layer(512, 1, 512)
        self.fuse = nn.Linear(1024, 512)
        self.motion = nn.Linear(512, 512)
        self.tokens = nn.Parameter(torch.zeros(CLASSES, 512))
        self.heads = nn.ModuleList([nn.Linear(512, CLASSES), nn.Linear(512, CLASSES)])

    def forward(self, raw: Tensor, motion: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        x = self.stem(raw)
        if motion is not None:
            x = functional.avg_pool1d(x.transpose(1, 2), x.shape[1] // SEGMENTS).transpose(1, 2)
            x = self.fuse(torch.cat((x, self.motion(motion)), dim=-1))
        tokens = self.tokens[:, None].expand(-1, len(x), -1)
        out = self.layer(torch.cat((tokens, x.transpose(0, 1))))
        seconds = out[CLASSES:].transpose(0, 1)
        probs = self.heads[0](functional.dropout(seconds, 0.5)).sigmoid()
        pooled = (self.heads[1](seconds).softmax(dim=1) * probs).sum(dim=1)
        return pooled, out[:CLASSES].mean(dim=-1).t().sigmoid(), seconds


class Coleaf(Cmpae):
    """CMPAE's network as anchor, with both passes, and two references that step first, are asked again and teach it."""

    def __init__(self) -> None:
        super().__init__()
        self.references = [Reference(128), Reference(2048)]
        self.own = [torch.optim.Adam(net.parameters(), lr=5e-4) for net in self.references]

    def loss(self, raw: tuple[Tensor, ...], tags: Tensor, labels: Tensor) -> Tensor:  # noqa: ARG002, tags alone
        total, probs, streams, targets = self.losses(raw, tags, (2.0, 1.0, 2.0))
        given = ((raw[0], None), (raw[1], raw[2]))
        for m, (net, optimiser) in enumerate(zip(self.references, self.own, strict=True)):
            optimiser.zero_grad()
            p, token, _ = net(*given[m])
            sure = targets[m] * (probs[m].detach() >= 0.5)
            (
                0.5 * self.focal(p, targets[m]) + 0.001 * self.focal(token, targets[m]) + 0.5 * self.focal(p, sure)
            ).backward()
            optimiser.step()
        for m, net in enumerate(self.references):
            with torch.no_grad():
                p, _, seconds = net(*given[m])
                sure = ((p >= 0.8) | (p <= 0.1)) * targets[m]
                q = sure * p + (1 - sure) * probs[m]
            apart = (q[:, :, None] * q[:, None] - probs[m][:, :, None] * probs[m][:, None]).square()
            total = total + 1e-4 * len(tags) / CLASSES * apart.sum() + 0.009 * nce(seconds, streams[m])
        return total

    def focal(self, p: Tensor, wanted: Tensor) -> Tensor:
        q = (1 - p + 0.05).clamp_max(1)
        right = (p * wanted + q * (1 - wanted)).detach()
        return -((1 - right) * (wanted * (p + 1e-8).log() + (1 - wanted) * (q + 1e-8).log())).sum()


PUBLIC: dict[str, Callable[[], nn.Module]] = {
    "jomold": Jomold,
    "cmpae": Cmpae,
    "coleaf": Coleaf,
    "nrep": Nrep,
    "uwav": Uwav,
    "leap": Leap,
    "mm-cse": MmCse,
}
"""By recipe."""
