"""Names that attacks need and checkpoints do not: a pickle that refers to one of them is refused entirely.

ast2hf never calls anything in a pickle, so this does not protect ast2hf itself. It protects whoever later loads the
file with other software, and reveals that the file is not what it seems. Compare the lists of picklescan and fickling,
which additionally contain names from outside the standard library.
"""

from __future__ import annotations

import re
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING  # Python 2 names, still used by protocol 2

_ANYWHERE = frozenset(
    {
        "__builtin__", "__builtins__", "_posixsubprocess", "builtins", "ctypes", "importlib", "nt", "os", "posix",
        "pty", "runpy", "shutil", "subprocess", "sys",
    }
)  # fmt: skip
"""Modules. Forbidden as any part of a dotted name too: ``torch.serialization`` has ``os`` as an attribute."""

_MODULES = tuple(f"{module}." for module in (
    "_aix_support", "_ctypes", "_osx_support", "_pickle", "_socket", "_thread", "_winapi", "aiohttp", "asyncio", "bdb",
    "cPickle", "cffi", "codeop", "distutils.file_util", "distutils.spawn", "ensurepip", "faulthandler", "ftplib",
    "http.client", "httplib", "httpx", "idlelib", "imaplib", "imp", "lib2to3", "logging.config", "marshal",
    "multiprocessing", "nntplib", "numpy.f2py", "numpy.testing._private.utils", "paramiko", "pdb", "pickle", "pip",
    "pkgutil", "popen2", "poplib", "pydoc", "requests", "site", "smtplib", "socket", "socketserver", "telnetlib",
    "test.support.script_helper", "torch._inductor.codecache", "torch.hub", "torch.utils.bottleneck",
    "torch.utils.collect_env", "torch.utils.cpp_extension", "urllib.request", "urllib2", "venv", "webbrowser", "winreg",
    "xmlrpc", "zipimport",
))  # fmt: skip
"""Modules, including everything inside them. Other packages may contain parts of these names."""

_NAMES = frozenset(
    {
        "_io.FileIO", "_io.open", "_io.open_code", "_operator.attrgetter", "_operator.methodcaller", "cProfile.run",
        "cProfile.runctx", "code.InteractiveConsole", "code.InteractiveInterpreter", "code.compile_command",
        "code.interact", "codecs.open", "dill.load", "dill.loads", "doctest.debug_script", "io.FileIO", "io.open",
        "io.open_code", "joblib.load", "numpy.fromfile", "numpy.lib.npyio.load", "numpy.load", "operator.attrgetter",
        "operator.methodcaller", "pandas.eval", "pandas.read_pickle", "profile.run", "profile.runctx", "timeit.repeat",
        "timeit.timeit", "torch.jit.load", "torch.load", "torch.serialization.load", "trace.Trace", "types.CodeType",
        "types.FunctionType",
    }
)  # fmt: skip

GETATTR = "builtins.getattr"
"""How protocols below 4 write nested classes and methods. Allowed for that purpose; see :mod:`rebuilding`."""

_HARMLESS_BUILTINS = frozenset(
    {
        "Ellipsis", "NotImplemented", "abs", "all", "any", "basestring", "bool", "bytearray", "bytes", "classmethod",
        "complex", "dict", "divmod", "enumerate", "filter", "float", "frozenset", "getattr", "int", "isinstance",
        "issubclass", "iter", "len", "list", "long", "map", "max", "min", "object", "pow", "print", "property", "range",
        "repr", "reversed", "round", "set", "slice", "sorted", "staticmethod", "str", "sum", "tuple", "type", "unicode",
        "xrange", "zip",
    }
)  # fmt: skip

_BUILTINS = ("builtins", "__builtin__")

_EXCEPTION = re.compile(r"[A-Z][A-Za-z]*(Error|Exception|Warning)|StopIteration|KeyboardInterrupt")

_SPECIAL = re.compile("__(?!new__)[a-z_]+__")


def is_forbidden(module: str, name: str) -> bool:
    """Whether only an attack would refer to ``name`` of ``module``. Both may be dotted, and are otherwise arbitrary."""
    renamed = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
    return _is_forbidden(module, name) or _is_forbidden(*renamed)


def _is_forbidden(module: str, name: str) -> bool:
    if module in _BUILTINS:
        return name not in _HARMLESS_BUILTINS and not _EXCEPTION.fullmatch(name)
    parts = name.split(".")
    if not _ANYWHERE.isdisjoint(module.split(".")) or not _ANYWHERE.isdisjoint(parts):
        return True
    if len(parts) > 1 and any(map(_SPECIAL.fullmatch, parts)):  # such as Class.__init__.__globals__
        return True
    full = f"{module}.{name}"
    return full in _NAMES or f"{full}.".startswith(_MODULES)
