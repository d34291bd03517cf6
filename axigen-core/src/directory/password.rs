//! argon2id password hashes ([RFC 9106](https://www.rfc-editor.org/rfc/rfc9106)).

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};

use super::{Error, Result, random};

/// Memory of one hash in KB. With [`PASSES`], what OWASP asks for.
pub const MEMORY_KB: u32 = 19 * 1024;
/// Passes over the memory.
pub const PASSES: u32 = 2;

fn argon2() -> Argon2<'static> {
    // The parameters are constants that are known to be valid; the default is never used.
    let params = Params::new(MEMORY_KB, PASSES, 1, None).unwrap_or_default();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// Hashes a password with a fresh salt: a PHC string. Takes some tens of
/// milliseconds of one core.
///
/// # Errors
/// [`Error::Hash`], [`Error::Random`].
pub fn hash(password: &str) -> Result<String> {
    let salt: [u8; 16] = random()?;
    argon2()
        .hash_password_with_salt(password.as_bytes(), &salt)
        .map(|hash| hash.to_string())
        .map_err(|error| Error::Hash(error.to_string()))
}

/// Whether a password is the one that was hashed. Constant time in what is
/// compared; the parameters are those of the hash.
pub fn verify(password: &str, hash: &str) -> bool {
    PasswordHash::new(hash)
        .is_ok_and(|hash| argon2().verify_password(password.as_bytes(), &hash).is_ok())
}

/// A hash of nobody's password, at the cost of any other. Its output is zeros,
/// which no password is known to give.
pub(super) const DECOY: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_the_password_matches() {
        let hashed = hash("secret").unwrap();
        assert!(
            hashed.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{hashed}"
        );
        assert!(verify("secret", &hashed));
        assert!(!verify("Secret", &hashed));
        assert!(!verify("secret", "$argon2id$broken"));
        assert!(!verify("", ""));
        assert_ne!(hash("secret").unwrap(), hashed, "a fresh salt each time");
    }

    #[test]
    fn the_decoy_costs_what_a_hash_costs() {
        let decoy = PasswordHash::new(DECOY).unwrap();
        let hashed = hash("secret").unwrap();
        let hashed = PasswordHash::new(&hashed).unwrap();
        assert_eq!(decoy.algorithm, hashed.algorithm);
        assert_eq!(decoy.version, hashed.version);
        assert_eq!(decoy.params, hashed.params);
        assert_eq!(
            decoy.hash.map(|hash| hash.as_bytes().len()),
            hashed.hash.map(|hash| hash.as_bytes().len())
        );
        assert!(!verify("", DECOY));
    }
}
