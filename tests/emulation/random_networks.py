"""Random Keras networks with random number formats, strategies and interfaces."""

from __future__ import annotations

import numpy as np

from codesign.core.fixed_point import FixedPoint

ROUNDINGS = ("TRN", "RND", "RND_CONV", "RND_ZERO", "RND_INF", "RND_MIN_INF", "TRN_ZERO")
OVERFLOWS = ("WRAP", "SAT", "SAT_SYM", "SAT_ZERO")
ACTIVATIONS = ("relu", "linear", "sigmoid", "tanh", "softplus", "softsign", "elu", "selu", "hard_sigmoid")
TABLE_TYPES = ("table", "exp_table", "inv_table", "inv_inp")
MERGES = ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate")


class Builder:
    """A network that grows layer by layer, with a configuration for hls4ml."""

    def __init__(self, seed, *, io_type=None, backend=None):
        self.rng = np.random.default_rng(seed)
        self.io_type = io_type or self.choice(("io_parallel", "io_stream"))
        self.backend = backend or self.choice(("Vitis", "Vivado"))
        self.types: dict[str, dict[str, str]] = {}
        self.options: dict[str, dict] = {}
        self.count = 0

    def choice(self, options):
        return options[int(self.rng.integers(len(options)))]

    def chance(self, probability):
        return bool(self.rng.random() < probability)

    def format(self, least=3, most=14, *, plain=0.4, integer=(0, 4)):
        """Choose a format whose step is not above one.

        The headers abort when they round a number of which every bit is below half a step.
        """
        bits = int(self.rng.integers(integer[0], integer[1] + 1))
        width = max(int(self.rng.integers(least, most + 1)), bits)
        modes = () if self.chance(plain) else (self.choice(ROUNDINGS), self.choice(OVERFLOWS))
        return FixedPoint(width, bits, self.chance(0.8), *modes)

    def accumulator(self):
        """Mostly wide enough; sometimes it wraps, saturates or loses the products' last bits."""
        if self.chance(0.5):
            return None
        if self.chance(0.4):
            return FixedPoint(int(self.rng.integers(24, 34)), int(self.rng.integers(8, 12)))
        return self.format(6, 20, integer=(1, 5))

    def name(self, kind):
        self.count += 1
        return f"{kind}{self.count}"

    def set(self, name, **types):
        self.types.setdefault(name, {}).update(
            {key: str(value) for key, value in types.items() if value is not None}
        )

    def products(self, name, n_in, n_out, *, resource=True):
        """Choose the types and the strategy of a layer with weights."""
        self.set(name, weight=self.format(integer=(-1, 4)), bias=self.format(), accum=self.accumulator())
        if self.chance(0.5):
            self.set(name, result=self.format(4, 18))
        if resource and self.chance(0.5):
            legal = [rf for rf in range(1, n_in + 1) if n_in % rf == 0]
            self.options.setdefault(name, {}).update(Strategy="Resource", ReuseFactor=self.choice(legal))

    def activation(self, x, name=None):
        """Add one activation of any kind."""
        import keras

        kind = self.choice((*ACTIVATIONS, "leaky", "prelu", "batchnorm"))
        name = self.name(kind)
        self.set(name, result=self.format(4, 16) if self.chance(0.8) else None)
        if kind == "leaky":
            return keras.layers.LeakyReLU(negative_slope=float(self.rng.uniform(0, 1.5)), name=name)(x)
        if kind == "prelu":
            return keras.layers.PReLU(alpha_initializer=self.initializer(), name=name)(x)
        if kind == "batchnorm":
            self.set(name, scale=self.format(), bias=self.format())
            return self.batch_normalization(name)(x)
        if kind in ("sigmoid", "tanh", "softplus", "softsign", "elu", "selu"):
            self.set(name, table=self.format(8, 18))
            self.options.setdefault(name, {}).update(TableSize=self.choice((64, 256, 1000, 1024)))
        return keras.layers.Activation(kind, name=name)(x)

    def batch_normalization(self, name):
        import keras

        return keras.layers.BatchNormalization(
            name=name,
            gamma_initializer=self.initializer(1.0),
            beta_initializer=self.initializer(),
            moving_mean_initializer=self.initializer(),
            moving_variance_initializer=keras.initializers.RandomUniform(0.5, 2.0, seed=self.seed()),
        )

    def initializer(self, mean=0.0):
        import keras

        return keras.initializers.RandomNormal(mean, 0.6, seed=self.seed())

    def seed(self):
        return int(self.rng.integers(1 << 30))

    def dense(self, x, units):
        import keras

        name = self.name("dense")
        self.products(name, x.shape[-1], units)
        kernel, bias = self.initializer(), self.initializer()
        return keras.layers.Dense(
            units, name=name, kernel_initializer=kernel, bias_initializer=bias, use_bias=self.chance(0.8)
        )(x)

    def merge(self, a, b, kinds=MERGES):
        import keras

        kind = self.choice(kinds)
        name = self.name(kind.lower())
        self.set(name, result=self.format(4, 18) if self.chance(0.5) else None)
        return getattr(keras.layers, kind)(name=name)([a, b])

    def softmax(self, x):
        import keras

        name = self.name("softmax")
        implementation = self.choice(("stable", "latency", "argmax", "legacy"))
        self.options.setdefault(name, {}).update(Implementation=implementation)
        self.set(name, result=self.format(6, 18))
        if self.chance(0.5):
            modes = (self.choice(ROUNDINGS), self.choice(("SAT", "WRAP")))
            for table in ("exp_table", "inv_table", "inv_inp", "accum"):
                width, integer = int(self.rng.integers(12, 20)), int(self.rng.integers(3, 9))
                self.set(
                    name,
                    **{table: FixedPoint(width, integer, table != "inv_inp" or self.chance(0.5), *modes)},
                )
        return keras.layers.Softmax(name=name)(x)

    def window(self, x, kind):
        """Add a convolution or pooling layer in one or two dimensions."""
        import keras

        flat = len(x.shape) == 3
        dims = "1D" if flat else "2D"
        name = self.name(kind)
        stream = self.io_type == "io_stream"
        padding = self.choice(("same", "valid"))
        if kind in ("conv", "pointwise"):
            size = 1 if kind == "pointwise" else self.choice((2, 3))
            filters = int(self.rng.integers(2, 5))
            self.products(name, size ** (1 if flat else 2) * x.shape[-1], filters)
            return getattr(keras.layers, f"Conv{dims}")(
                filters,
                size,
                strides=self.choice((1, 1, 2)),
                padding=padding,
                name=name,
                kernel_initializer=self.initializer(),
                bias_initializer=self.initializer(),
            )(x)
        if kind == "depthwise":
            size = self.choice((2, 3))
            terms = size ** (1 if flat else 2) * x.shape[-1]
            self.products(name, terms, x.shape[-1], resource=stream)
            return getattr(keras.layers, f"DepthwiseConv{dims}")(
                size,
                padding=padding,
                name=name,
                depthwise_initializer=self.initializer(),
                bias_initializer=self.initializer(),
            )(x)
        if kind == "zeropad":
            pads = int(self.rng.integers(1, 3))
            return getattr(keras.layers, f"ZeroPadding{dims}")(pads, name=name)(x)
        operation = self.choice(("Max", "Average"))
        self.set(name, accum=self.format(8, 20, integer=(2, 6)) if self.chance(0.4) else None)
        self.set(name, result=self.format(4, 16) if self.chance(0.5) else None)
        if kind == "global":
            return getattr(keras.layers, f"Global{operation}Pooling{dims}")(name=name)(x)
        pool = self.choice((2, 3)) if not stream else 2
        strides = pool if stream else self.choice((1, 2, pool))
        padding = "valid" if stream else padding
        return getattr(keras.layers, f"{operation}Pooling{dims}")(
            pool, strides=strides, padding=padding, name=name
        )(x)

    def flatten(self, x):
        import keras

        return keras.layers.Flatten(name=self.name("flatten"))(x)

    def start(self, shape):
        import keras

        x = keras.Input(shape, name="inp")
        self.set("inp", result=self.format(5, 12, integer=(1, 4)))
        self.inputs = x
        return x

    def finish(self, x):
        """Return the model and its configuration."""
        import keras
        from csim_harness import layer_config

        model = keras.Model(self.inputs, x)
        config = layer_config(model, self.backend)
        for name, types in self.types.items():
            layer = config["LayerName"][name]
            for key, text in types.items():
                if key in TABLE_TYPES:  # hls4ml takes these from the layer's own entry alone
                    layer["Precision"].pop(key, None)
                    layer[f"{key}_t"] = text
                elif key in layer["Precision"]:
                    layer["Precision"][key] = text
        for name, options in self.options.items():
            config["LayerName"][name].update(options)
        return model, config

    def samples(self, count=60):
        """Draw inputs, most of them off the input type's grid and some out of its range."""
        shape = self.inputs.shape[1:]
        scale = self.rng.choice([0.5, 2.0, 6.0], size=(count, *(1 for _ in shape)))
        return self.rng.normal(size=(count, *shape)) * scale


def dense_network(seed, **how):
    """Branches of dense layers and activations, merged, and a softmax."""
    build = Builder(seed, **how)
    x = build.start((int(build.rng.integers(4, 9)),))
    width = int(build.rng.integers(3, 7))
    x = build.activation(build.dense(x, width))
    for _ in range(2):
        a = build.activation(build.dense(x, width))
        b = build.activation(x if x.shape == a.shape else build.dense(x, width))
        x = build.merge(a, b)
    x = build.softmax(build.dense(x, int(build.rng.integers(3, 6))))
    return build, *build.finish(x)


def image_network(seed, *, flat=False, **how):
    """Convolutions, poolings and a dense end."""
    build = Builder(seed, **how)
    side = int(build.rng.integers(7, 10))
    channels = int(build.rng.integers(1, 4))
    x = build.start((side, channels) if flat else (side, side, channels))
    x = build.activation(build.window(x, "conv"))
    kinds = ["depthwise", "pool", "zeropad", "pointwise", "conv"]
    build.rng.shuffle(kinds)
    for kind in kinds[:4]:
        if min(x.shape[1:-1]) < 4 and kind in ("pool", "conv", "depthwise"):
            kind = "zeropad"
        x = build.window(x, kind)
        if build.chance(0.4):
            x = build.activation(x)
    if build.chance(0.4):
        x = build.window(x, "global")
    else:
        x = build.flatten(build.window(x, "pool") if min(x.shape[1:-1]) >= 3 else x)
    return build, *build.finish(build.dense(x, 4))


def sequence_network(seed, **how):
    """Convolutions and poolings in one dimension."""
    return image_network(seed, flat=True, **how)
