"""The demo's services as they are without a guard, to see that the demo notices."""

from tests.support.services import app as guarded

app = guarded.app
