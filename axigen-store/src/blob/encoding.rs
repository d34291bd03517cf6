//! Base64 as fast as the processor can: mail is full of it.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::PAD;

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
type Fastest = base64::engine::Simd;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
type Fastest = base64::engine::GeneralPurpose;

static BASE64: LazyLock<Fastest> = LazyLock::new(|| {
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    return Fastest::standard(PAD);
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    return Fastest::new(&base64::alphabet::STANDARD, PAD);
});

/// The base64 of [RFC 4648 §4](https://www.rfc-editor.org/rfc/rfc4648#section-4), padded, by
/// vector instructions where the processor has them.
pub fn base64() -> &'static impl Engine {
    &*BASE64
}
