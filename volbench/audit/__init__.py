"""Shortcut baselines: predict the label without the image, on the same folds."""

from volbench._utils.renamed_modules import renamed
from volbench.audit.cross_validation import audit
from volbench.audit.result import Audit, AuditRow
from volbench.audit.store import audit_cached, read_audit
from volbench.audit.summary import AuditScore, score_audit, summarize

__all__ = [
    "Audit",
    "AuditRow",
    "AuditScore",
    "audit",
    "audit_cached",
    "read_audit",
    "score_audit",
    "summarize",
]

__getattr__ = renamed(
    __name__, {"weigh": "score_audit", "verdict": "summarize", "Score": "AuditScore"}
)
