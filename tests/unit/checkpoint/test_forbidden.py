import pickle

import pytest

from ast2hf.checkpoint.candidates import find
from ast2hf.checkpoint.forbidden import is_forbidden
from ast2hf.checkpoint.pickles import unpickle_restricted
from ast2hf.errors import InputError


@pytest.mark.parametrize(
    "name",
    [
        "os.system", "os.path.join", "posix.system", "nt.system", "subprocess.Popen", "sys.modules", "builtins.eval",
        "builtins.exec", "builtins.compile", "builtins.open", "builtins.__import__", "builtins.setattr",
        "builtins.delattr", "builtins.globals", "builtins.vars", "builtins.input", "builtins.breakpoint",
        "__builtin__.eval", "__builtin__.execfile", "__builtin__.apply", "__builtin__.file", "importlib.import_module",
        "importlib._bootstrap.exec", "runpy.run_path", "socket.socket", "ctypes.CDLL", "shutil.rmtree", "pty.spawn",
        "code.interact", "webbrowser.open", "pip.main", "pip._internal.main", "torch.hub.load", "torch.load",
        "torch.serialization.load", "operator.attrgetter", "operator.methodcaller", "_operator.attrgetter",
        "pickle.loads", "_pickle.loads", "cPickle.loads", "marshal.loads", "io.open", "_io.open", "codecs.open",
        "numpy.load", "types.CodeType", "types.FunctionType", "asyncio.run", "commands.getoutput", "pydoc.pipepager",
        "timeit.timeit", "numpy.testing._private.utils.runstring", "torch.utils.cpp_extension.load_inline",
        "SocketServer.TCPServer",
    ],
)  # fmt: skip
def test_names_that_only_an_attack_needs(name):
    assert is_forbidden(*name.rsplit(".", 1))


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("torch.serialization", "os.system"),
        ("torch", "serialization.os.system"),
        ("six.moves.builtins", "eval"),
        ("logging", "os"),
        ("collections", "OrderedDict.__init__.__globals__"),
        ("argparse", "Namespace.__class__"),
    ],
)
def test_ways_around_a_table_of_modules(module, name):
    assert is_forbidden(module, name)


@pytest.mark.parametrize(
    "name",
    [
        "argparse.Namespace", "functools.partial", "omegaconf.dictconfig.DictConfig", "numpy.core.multiarray.scalar",
        "numpy._core.multiarray.scalar", "numpy.dtype", "pathlib.PosixPath", "torch.device", "torch.float32",
        "torch.optim.adam.Adam", "collections.OrderedDict", "collections.defaultdict", "builtins.set", "builtins.int",
        "builtins.ValueError", "__builtin__.frozenset", "exceptions.ValueError", "copy_reg._reconstructor",
        "models.ast_models.ASTModel", "code.models.ASTModel", "__main__.ASTModel", "torch.nn.modules.linear.Linear",
        "_codecs.encode", "enum.Enum", "datetime.date", "types.SimpleNamespace", "operator.itemgetter",
        "src.ssl.models.SSAST", "commands.train.Options", "lab.socket.Options", "ssl.SSAST", "profile.Profile",
        "mosaic.Posix", "transformers.models.auto.configuration_auto.AutoConfig",
    ],
)  # fmt: skip
def test_what_training_scripts_leave_in_a_file(name):
    assert not is_forbidden(*name.rsplit(".", 1))


class Outer:
    class Inner:
        pass

    def method(self):
        pass


@pytest.mark.parametrize("protocol", [2, 4])
def test_classes_in_classes_and_methods_need_getattr(protocol):
    root = unpickle_restricted(pickle.dumps([Outer.Inner(), Outer().method, Outer.method], protocol)).root
    assert [item.name for item in root] == [f"{__name__}.Outer.{name}" for name in ("Inner", "method", "method")]


def attribute(owner: bytes, name: bytes) -> bytes:
    return b"c__builtin__\ngetattr\n" + owner + b"X" + len(name).to_bytes(4, "little") + name + b"\x86R"


OWNER = b"ccollections\nCounter\n"


@pytest.mark.parametrize(
    "body",
    [
        attribute(OWNER, b"__init__"),
        attribute(attribute(OWNER, b"elements"), b"__globals__"),
        attribute(OWNER, b"os"),
        attribute(OWNER, b"os.system"),
        attribute(b"c__builtin__\nobject\n", b"__subclasses__"),
        attribute(b"c__builtin__\ngetattr\n", b"x"),
        attribute(b"X\x01\x00\x00\x00a", b"format"),
        attribute(OWNER, b"x" * 2000),
        b"c__builtin__\ngetattr\n)R",
        b"cfunctools\npartial\nc__builtin__\ngetattr\n\x85R",
        b"](c__builtin__\ngetattr\ne",
    ],
)
def test_other_uses_of_getattr_are_refused(body):
    with pytest.raises(InputError, match="nothing was executed"):
        find(unpickle_restricted(b"\x80\x02" + body + b".").root)
