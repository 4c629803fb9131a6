"""The three networks, written out: CLIP ViT, projector, Llama decoder. Parameter names follow transformers.

Cuts are an argument: `cut=True` leaves every image row with itself (vision: CLS dropped too; decoder: the text before
the image stays visible). eval.py measures with these; export.py and golden.py check them against transformers.
"""
import math

import torch
import torch.nn.functional as F
from torch import nn

DIM, LAYERS, HEADS, VIT_MLP, LM_MLP, N = 128, 6, 4, 512, 352, 144
MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073])
STD = torch.tensor([0.26862954, 0.26130258, 0.27577711])


def patches(images):
    """uint8 [b, 96, 96, 3] -> normalised patches float [b, 144, 192], each in (channel, y, x) order."""
    x = (images.float() / 255 - MEAN) / STD
    b = x.shape[0]
    return x.view(b, 12, 8, 12, 8, 3).permute(0, 1, 3, 5, 2, 4).reshape(b, N, 192)


class VitLayer(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer_norm1, self.layer_norm2 = nn.LayerNorm(DIM), nn.LayerNorm(DIM)
        self.qkv, self.out_proj = nn.Linear(DIM, 3 * DIM), nn.Linear(DIM, DIM)
        self.fc1, self.fc2 = nn.Linear(DIM, VIT_MLP), nn.Linear(VIT_MLP, DIM)

    def forward(self, x, mask=None, causal=False):
        b, t, _ = x.shape
        q, k, v = self.qkv(self.layer_norm1(x)).view(b, t, 3, HEADS, DIM // HEADS).permute(2, 0, 3, 1, 4)
        a = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)
        x = x + self.out_proj(a.transpose(1, 2).reshape(b, t, DIM))
        h = self.fc1(self.layer_norm2(x))
        return x + self.fc2(h * torch.sigmoid(1.702 * h))


class Vit(nn.Module):
    def __init__(self):
        super().__init__()
        self.class_embedding = nn.Parameter(torch.randn(DIM) * .02)
        self.patch_embedding = nn.Linear(192, DIM, bias=False)
        self.position_embedding = nn.Parameter(torch.randn(N + 1, DIM) * .02)
        self.pre_layrnorm, self.post_layernorm = nn.LayerNorm(DIM), nn.LayerNorm(DIM)
        self.layers = nn.ModuleList(VitLayer() for _ in range(LAYERS))

    def forward(self, p, keep=None, cut=False):
        """p: [b, 144, 192], keep: None or [b, k] patch numbers. Returns the states of all depths, each [b, 1 + k, dim]."""
        x = self.patch_embedding(p) + self.position_embedding[1:]
        if keep is not None:
            x = x.gather(1, keep[..., None].expand(-1, -1, DIM))
        c = (self.class_embedding + self.position_embedding[0]).expand(x.shape[0], 1, DIM).to(x.dtype)
        x = self.pre_layrnorm(torch.cat([c, x], 1))
        mask = None
        if cut:
            mask = torch.eye(x.shape[1], dtype=torch.bool)
            mask[0] = True
        out = [x]
        for layer in self.layers:
            x = layer(x, mask)
            out.append(x)
        return out


class TextTower(nn.Module):
    """Small text tower of the contrastive stage; dropped afterwards."""

    def __init__(self, vocab, length=96, layers=2):
        super().__init__()
        self.embed, self.place = nn.Embedding(vocab, DIM), nn.Parameter(torch.randn(length, DIM) * .02)
        nn.init.normal_(self.embed.weight, std=.02)
        self.layers = nn.ModuleList(VitLayer() for _ in range(layers))
        self.norm = nn.LayerNorm(DIM)
        self.text_projection, self.visual_projection = nn.Linear(DIM, DIM, False), nn.Linear(DIM, DIM, False)
        self.scale, self.region_scale = nn.Parameter(torch.tensor(math.log(14.))), nn.Parameter(torch.tensor(math.log(14.)))

    def forward(self, ids, last):
        """ids: [b, t] right-padded, last: [b] position of the final token. Returns unit vectors [b, dim]."""
        x = self.embed(ids) + self.place[:ids.shape[1]]
        for layer in self.layers:
            x = layer(x, None, True)
        x = self.norm(x[torch.arange(len(ids)), last])
        return F.normalize(self.text_projection(x).float(), dim=-1)


class RMS(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(DIM))

    def forward(self, x):
        y = x.float()
        return (self.weight * (y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + 1e-5))).to(x.dtype)


def rope(t):
    a = torch.outer(torch.arange(t).float(), 10000. ** (-torch.arange(0, DIM // HEADS, 2).float() / (DIM // HEADS)))
    a = torch.cat([a, a], -1)
    return a.cos(), a.sin()


def rotate(x, cos, sin):
    h = x.shape[-1] // 2
    return x * cos + torch.cat([-x[..., h:], x[..., :h]], -1) * sin


class LmLayer(nn.Module):
    def __init__(self):
        super().__init__()
        self.input_layernorm, self.post_attention_layernorm = RMS(), RMS()
        self.qkv, self.o_proj = nn.Linear(DIM, 3 * DIM, False), nn.Linear(DIM, DIM, False)
        self.gate_up, self.down_proj = nn.Linear(DIM, 2 * LM_MLP, False), nn.Linear(LM_MLP, DIM, False)

    def forward(self, x, cos, sin, mask):
        b, t, _ = x.shape
        q, k, v = self.qkv(self.input_layernorm(x)).view(b, t, 3, HEADS, DIM // HEADS).permute(2, 0, 3, 1, 4)
        q, k = rotate(q, cos, sin).to(v.dtype), rotate(k, cos, sin).to(v.dtype)
        a = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None)
        x = x + self.o_proj(a.transpose(1, 2).reshape(b, t, DIM))
        g, u = self.gate_up(self.post_attention_layernorm(x)).chunk(2, -1)
        return x + self.down_proj(F.silu(g) * u)


class Lm(nn.Module):
    def __init__(self, vocab):
        super().__init__()
        self.embed = nn.Embedding(vocab, DIM)
        nn.init.normal_(self.embed.weight, std=.05)
        self.layers = nn.ModuleList(LmLayer() for _ in range(LAYERS))
        self.norm = RMS()
        self.place = nn.Parameter(torch.randn(N, DIM) * .02)   # text stage only
        for layer in self.layers:
            for m in (layer.qkv, layer.o_proj, layer.gate_up, layer.down_proj):
                nn.init.normal_(m.weight, std=.05)
            for m in (layer.o_proj, layer.down_proj):
                m.weight.data /= math.sqrt(2 * LAYERS)

    def forward(self, x, first=None, cut=False):
        """x: [b, t, dim] input vectors. cut: image rows first..first+143 see the text before them and themselves."""
        t = x.shape[1]
        cos, sin = rope(t)
        mask = None
        if cut:
            mask = torch.ones(t, t, dtype=torch.bool).tril()
            mask[first:first + N, first:first + N] = torch.eye(N, dtype=torch.bool)
        out = [x]
        for layer in self.layers:
            x = layer(x, cos, sin, mask)
            out.append(x)
        return out

    def logits(self, h):
        return F.linear(self.norm(h), self.embed.weight.to(h.dtype)).float()


class Projector(nn.Module):
    """linear -> gelu (erf) -> linear; `mean` and `std` standardise the features and are folded into linear_1 on export."""

    def __init__(self):
        super().__init__()
        self.linear_1, self.linear_2 = nn.Linear(DIM, DIM), nn.Linear(DIM, DIM)
        self.register_buffer("mean", torch.zeros(DIM))
        self.register_buffer("std", torch.ones(DIM))

    def forward(self, f):
        return self.linear_2(F.gelu(self.linear_1((f - self.mean) / self.std)))
