"""Shortcut audit: what the label gives away before any network looks at a picture."""

from volbench.audit.fitting import audit
from volbench.audit.result import Audit, AuditRow
from volbench.audit.store import audit_cached, read_audit
from volbench.audit.summary import Score, verdict, weigh

__all__ = [
    "Audit",
    "AuditRow",
    "Score",
    "audit",
    "audit_cached",
    "read_audit",
    "verdict",
    "weigh",
]
