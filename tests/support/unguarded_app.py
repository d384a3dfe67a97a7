"""The demo's services without a guard, to test that the demo notices."""

from tests.support.services import app as guarded

app = guarded.app
