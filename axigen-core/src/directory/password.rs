//! argon2id password hashes ([RFC 9106](https://www.rfc-editor.org/rfc/rfc9106)).

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use parking_lot::{Condvar, Mutex};
use zeroize::Zeroizing;

use super::{Error, HASHES_AT_ONCE, Result, random};

/// Memory of one hash in KB. With [`PASSES`], what OWASP asks for.
pub const MEMORY_KB: u32 = 19 * 1024;
/// Passes over the memory.
pub const PASSES: u32 = 2;
/// Bytes of a hash.
const LENGTH: usize = Params::DEFAULT_OUTPUT_LEN;

/// Hashes a password with a fresh salt: a PHC string. Takes some tens of
/// milliseconds of one core, and waits while as many are made as may be at a time.
///
/// # Errors
/// [`Error::Hash`], [`Error::Random`].
pub fn hash(password: &str) -> Result<String> {
    let salt: [u8; 16] = random()?;
    // The parameters are constants that are known to be valid; the default is never used.
    let params = Params::new(MEMORY_KB, PASSES, 1, None).unwrap_or_default();
    let failed = |error: &dyn std::fmt::Display| Error::Hash(error.to_string());
    let mut hash = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(&params).map_err(|error| failed(&error))?,
        salt: Some(Salt::new(&salt).map_err(|error| failed(&error))?),
        hash: None,
    };
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut output = Zeroizing::new([0; LENGTH]);
    fill(&argon2, password, &salt, output.as_mut_slice()).map_err(|error| failed(&error))?;
    hash.hash = Some(Output::new(output.as_slice()).map_err(|error| failed(&error))?);
    Ok(hash.to_string())
}

/// Whether a password is the one that was hashed. Constant time in what is
/// compared; the parameters are those of the hash.
pub fn verify(password: &str, hash: &str) -> bool {
    verified(password, hash).unwrap_or(false)
}

/// `None` if it is no hash.
fn verified(password: &str, hash: &str) -> Option<bool> {
    let hash = PasswordHash::new(hash).ok()?;
    let params = Params::try_from(&hash).ok()?;
    let algorithm = Algorithm::try_from(hash.algorithm.as_str()).ok()?;
    // A hash that names none is of the first version.
    let version = hash.version.map_or(Ok(Version::V0x10), Version::try_from);
    let argon2 = Argon2::new(algorithm, version.ok()?, params);
    let (salt, expected) = (hash.salt?, hash.hash?);
    let mut output = Zeroizing::new(vec![0; expected.as_bytes().len()]);
    fill(&argon2, password, salt.as_ref(), &mut output).ok()?;
    Some(Output::new(&output).ok()? == expected)
}

fn fill(
    argon2: &Argon2<'_>,
    password: &str,
    salt: &[u8],
    output: &mut [u8],
) -> std::result::Result<(), argon2::Error> {
    let mut memory = Memory::take();
    memory
        .0
        .resize(argon2.params().block_count(), Block::default());
    argon2.hash_password_into_with_memory(password.as_bytes(), salt, output, &mut memory.0[..])
}

/// What hashes are made in. Given back to the allocator it would stay with the threads that had
/// it, of which there are many; so it is used again, and there is as much of it as hashes are made
/// at a time by all directories of the program together.
static IDLE: Mutex<Idle> = Mutex::new(Idle {
    made: 0,
    free: Vec::new(),
});
static GIVEN_BACK: Condvar = Condvar::new();

struct Idle {
    made: usize,
    free: Vec<Vec<Block>>,
}

struct Memory(Vec<Block>);

impl Memory {
    /// Waits while all of it is used.
    fn take() -> Memory {
        let mut idle = IDLE.lock();
        loop {
            if let Some(memory) = idle.free.pop() {
                return Memory(memory);
            }
            if idle.made < HASHES_AT_ONCE {
                idle.made += 1;
                return Memory(Vec::new());
            }
            GIVEN_BACK.wait(&mut idle);
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        IDLE.lock().free.push(std::mem::take(&mut self.0));
        GIVEN_BACK.notify_one();
    }
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
    fn as_the_library_verifies() {
        use argon2::{PasswordHasher, PasswordVerifier};
        let own = hash("secret").unwrap();
        // Other parameters and lengths than ours among them.
        for hash in [
            own.as_str(),
            DECOY,
            "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHRzb21l$AAAAAAAAAAAAAAAAAAAAAA",
            "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHRzb21l",
            "$argon2i$v=16$m=64,t=2,p=1$c29tZXNhbHRzb21l$AAAAAAAAAAAAAAAAAAAAAA",
            "$scrypt$ln=1$c29tZXNhbHRzb21l$AAAAAAAAAAAAAAAAAAAAAA",
        ] {
            for password in ["secret", "other", ""] {
                let parsed = PasswordHash::new(hash).unwrap();
                let wanted = Argon2::default().verify_password(password.as_bytes(), &parsed);
                assert_eq!(verify(password, hash), wanted.is_ok(), "{hash} {password}");
            }
        }
        let small = Params::new(64, 1, 1, Some(16)).unwrap();
        let small = Argon2::new(Algorithm::Argon2i, Version::V0x10, small);
        let small = small
            .hash_password_with_salt(b"secret", b"somesaltsome")
            .unwrap()
            .to_string();
        assert!(
            verify("secret", &small) && !verify("Secret", &small),
            "{small}"
        );
    }

    /// However many are asked for at once, no more are made than there is memory for.
    #[test]
    fn many_at_once_take_turns() {
        let hashed = hash("secret").unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 * HASHES_AT_ONCE {
                scope.spawn(|| assert!(verify("secret", &hashed)));
            }
        });
        let idle = IDLE.lock();
        assert!(idle.made <= HASHES_AT_ONCE, "{}", idle.made);
        assert!(idle.free.len() <= idle.made);
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
