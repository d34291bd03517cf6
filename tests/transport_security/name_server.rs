//! A real DNS server with signed zones.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hickory_server::dnssec::NxProofKind;
use hickory_server::net::runtime::{Time, TokioRuntimeProvider};
use hickory_server::proto::dnssec::crypto::Ed25519SigningKey;
use hickory_server::proto::dnssec::rdata::{DNSKEY, DNSSECRData, DS};
use hickory_server::proto::dnssec::{Algorithm, DigestType, DnssecSigner, SigningKey};
use hickory_server::proto::rr::{Name, RData, Record, RecordType};
use hickory_server::proto::serialize::txt::Parser;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo, Server};
use hickory_server::store::in_memory::InMemoryZoneHandler;
use hickory_server::zone_handler::{AxfrPolicy, Catalog, ZoneHandler, ZoneType};
use tokio::net::{TcpListener, UdpSocket};

type Zone = InMemoryZoneHandler<TokioRuntimeProvider>;

/// A DNS server, which runs until it is dropped.
pub(crate) struct NameServer {
    pub(crate) address: SocketAddr,
    /// File with the key of the root.
    pub(crate) anchors: PathBuf,
    _server: Server<Parted>,
}

/// Questions about delegations go to the parent, all others to the zone itself.
struct Parted {
    root: Catalog,
    all: Catalog,
}

#[async_trait]
impl RequestHandler for Parted {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        response: R,
    ) -> ResponseInfo {
        let is_ds = request
            .request_info()
            .is_ok_and(|info| info.query.query_type() == RecordType::DS);
        match is_ds {
            true => self.root.handle_request::<R, T>(request, response).await,
            false => self.all.handle_request::<R, T>(request, response).await,
        }
    }
}

fn key() -> (Box<dyn SigningKey>, DNSKEY) {
    let pkcs8 = Ed25519SigningKey::generate_pkcs8().unwrap();
    let key = Ed25519SigningKey::from_pkcs8(&pkcs8).unwrap();
    let public = key.to_public_key().unwrap();
    (Box::new(key), DNSKEY::from_key(&public))
}

fn zone(origin: &str, text: &str) -> Zone {
    let origin = Name::from_ascii(origin).unwrap();
    let whole =
        format!("@ 60 SOA ns.signed. root.signed. 1 60 60 60 60\n@ 60 NS ns.signed.\n{text}\n");
    let (_, records) = Parser::new(whole, None, Some(origin.clone()))
        .parse()
        .unwrap();
    let records: BTreeMap<_, _> = records;
    let proof = Some(NxProofKind::Nsec);
    Zone::new(origin, records, ZoneType::Primary, AxfrPolicy::Deny, proof).unwrap()
}

fn sign(zone: &mut Zone, signing: Box<dyn SigningKey>, public: DNSKEY) {
    let origin = Name::from(zone.origin().clone());
    let day = Duration::from_secs(86_400);
    let signer = DnssecSigner::new(public, signing, origin, day);
    zone.add_zone_signing_key_mut(signer).unwrap();
    zone.secure_zone_mut().unwrap();
}

impl NameServer {
    /// A server with the zones `signed.`, `bogus.` (whose key is not the one its
    /// parent names) and `plain.` (without signatures), and records for each.
    /// `forged` is put into `signed.` after it was signed.
    pub(crate) async fn start(
        dir: &Path,
        signed: &str,
        bogus: &str,
        plain: &str,
        forged: &str,
    ) -> NameServer {
        let (root_key, root_public) = key();
        let (signed_key, signed_public) = key();
        let (bogus_key, bogus_public) = key();
        let (_, other_public) = key();
        let mut root = zone(
            ".",
            "signed. 60 NS ns.signed.\nbogus. 60 NS ns.signed.\nplain. 60 NS ns.signed.\n",
        );
        for (name, public) in [("signed.", &signed_public), ("bogus.", &other_public)] {
            let name = Name::from_ascii(name).unwrap();
            let digest = public.to_digest(&name, DigestType::SHA256).unwrap();
            let tag = public.calculate_key_tag().unwrap();
            let digest = digest.as_ref().to_vec();
            let ds = DS::new(tag, Algorithm::ED25519, DigestType::SHA256, digest);
            let data = RData::DNSSEC(DNSSECRData::DS(ds));
            assert!(root.upsert_mut(Record::from_rdata(name, 60, data), 1));
        }
        sign(&mut root, root_key, root_public.clone());
        let mut of_signed = zone("signed.", signed);
        sign(&mut of_signed, signed_key, signed_public);
        let (_, forged) = Parser::new(
            format!("@ 60 SOA . . 1 1 1 1 1\n{forged}\n"),
            None,
            Some(Name::from_ascii("signed.").unwrap()),
        )
        .parse()
        .unwrap();
        for set in forged
            .values()
            .filter(|set| set.record_type() != RecordType::SOA)
        {
            for record in set.records_without_rrsigs() {
                of_signed.upsert_mut(record.clone(), 2);
            }
        }
        let mut of_bogus = zone("bogus.", bogus);
        sign(&mut of_bogus, bogus_key, bogus_public);
        let root: Arc<dyn ZoneHandler> = Arc::new(root);
        let zones: [(&str, Arc<dyn ZoneHandler>); 4] = [
            (".", root.clone()),
            ("signed.", Arc::new(of_signed)),
            ("bogus.", Arc::new(of_bogus)),
            ("plain.", Arc::new(zone("plain.", plain))),
        ];
        let mut all = Catalog::new();
        for (name, zone) in zones {
            all.upsert(Name::from_ascii(name).unwrap().into(), vec![zone]);
        }
        let mut parents = Catalog::new();
        parents.upsert(Name::root().into(), vec![root]);
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = udp.local_addr().unwrap();
        let tcp = TcpListener::bind(address).await.unwrap();
        let mut server = Server::new(Parted { root: parents, all });
        server.register_socket(udp);
        server.register_listener(tcp, Duration::from_secs(5), 4096);
        let anchors = dir.join("anchors");
        std::fs::write(&anchors, format!(". IN DNSKEY {root_public}\n")).unwrap();
        NameServer {
            address,
            anchors,
            _server: server,
        }
    }
}
