"""A certificate authority of one's own, as many companies have: it signs certificates for hosts."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_LASTS = timedelta(days=2)


@dataclass(frozen=True)
class Authority:
    """Keeps what it makes in `folder`; its own certificate is what others may trust."""

    folder: Path
    name: str
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def make(cls, folder: Path, name: str = "Our own authority") -> Authority:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _named(name)
        made = _begun(subject, subject, key).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        folder.mkdir(parents=True, exist_ok=True)
        authority = cls(folder, name, key, made.sign(key, hashes.SHA256()))
        authority.file.write_bytes(_pem(authority.certificate))
        return authority

    @property
    def file(self) -> Path:
        """Its certificate in PEM."""
        return self.folder / "authority.pem"

    def server(self, host: str, *, days_ago: int = 0) -> ssl.SSLContext:
        """What a server at this host needs; with `days_ago` its certificate was made so long ago."""
        key = ec.generate_private_key(ec.SECP256R1())
        made = _begun(_named(host), self.certificate.subject, key, days_ago)
        made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        file = self.folder / f"{host}.pem"
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        file.write_bytes(private + _pem(made.sign(self.key, hashes.SHA256())))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context


def _begun(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, days_ago: int = 0
) -> x509.CertificateBuilder:
    begins = datetime.now(UTC) - timedelta(hours=1, days=days_ago)
    begun = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    begun = begun.serial_number(x509.random_serial_number())
    return begun.not_valid_before(begins).not_valid_after(begins + _LASTS)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
