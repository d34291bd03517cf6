//! Command names, and the state each command needs.

/// The name of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    Append,
    Authenticate,
    CancelUpdate,
    Capability,
    Check,
    Close,
    Compress,
    Copy,
    Create,
    Delete,
    DeleteAcl,
    Enable,
    Esearch,
    Examine,
    Expunge,
    Fetch,
    GenUrlAuth,
    GetAcl,
    GetMetadata,
    GetQuota,
    GetQuotaRoot,
    Id,
    Idle,
    List,
    ListRights,
    Login,
    Logout,
    Lsub,
    Move,
    MyRights,
    Namespace,
    Noop,
    Notify,
    Rename,
    Replace,
    ResetKey,
    Search,
    Select,
    SetAcl,
    SetMetadata,
    Sort,
    StartTls,
    Status,
    Store,
    Subscribe,
    Thread,
    UidBatches,
    UidCopy,
    UidExpunge,
    UidFetch,
    UidMove,
    UidReplace,
    UidSearch,
    UidSort,
    UidStore,
    UidThread,
    Unauthenticate,
    Unselect,
    Unsubscribe,
    UrlFetch,
}

/// The state a command needs.
/// [RFC 9051 §6](https://www.rfc-editor.org/rfc/rfc9051#section-6)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    Nothing,
    NotAuthenticated,
    Authenticated,
    Selected,
}

const NAMES: &[(&str, Name, Needs)] = &[
    ("APPEND", Name::Append, Needs::Authenticated),
    ("AUTHENTICATE", Name::Authenticate, Needs::NotAuthenticated),
    ("CANCELUPDATE", Name::CancelUpdate, Needs::Selected),
    ("CAPABILITY", Name::Capability, Needs::Nothing),
    ("CHECK", Name::Check, Needs::Selected),
    ("CLOSE", Name::Close, Needs::Selected),
    ("COMPRESS", Name::Compress, Needs::Authenticated),
    ("COPY", Name::Copy, Needs::Selected),
    ("CREATE", Name::Create, Needs::Authenticated),
    ("DELETE", Name::Delete, Needs::Authenticated),
    ("DELETEACL", Name::DeleteAcl, Needs::Authenticated),
    ("ENABLE", Name::Enable, Needs::Authenticated),
    ("ESEARCH", Name::Esearch, Needs::Authenticated),
    ("EXAMINE", Name::Examine, Needs::Authenticated),
    ("EXPUNGE", Name::Expunge, Needs::Selected),
    ("FETCH", Name::Fetch, Needs::Selected),
    ("GENURLAUTH", Name::GenUrlAuth, Needs::Authenticated),
    ("GETACL", Name::GetAcl, Needs::Authenticated),
    ("GETMETADATA", Name::GetMetadata, Needs::Authenticated),
    ("GETQUOTA", Name::GetQuota, Needs::Authenticated),
    ("GETQUOTAROOT", Name::GetQuotaRoot, Needs::Authenticated),
    ("ID", Name::Id, Needs::Nothing),
    ("IDLE", Name::Idle, Needs::Authenticated),
    ("LIST", Name::List, Needs::Authenticated),
    ("LISTRIGHTS", Name::ListRights, Needs::Authenticated),
    ("LOGIN", Name::Login, Needs::NotAuthenticated),
    ("LOGOUT", Name::Logout, Needs::Nothing),
    ("LSUB", Name::Lsub, Needs::Authenticated),
    ("MOVE", Name::Move, Needs::Selected),
    ("MYRIGHTS", Name::MyRights, Needs::Authenticated),
    ("NAMESPACE", Name::Namespace, Needs::Authenticated),
    ("NOOP", Name::Noop, Needs::Nothing),
    ("NOTIFY", Name::Notify, Needs::Authenticated),
    ("RENAME", Name::Rename, Needs::Authenticated),
    ("REPLACE", Name::Replace, Needs::Selected),
    ("RESETKEY", Name::ResetKey, Needs::Authenticated),
    ("SEARCH", Name::Search, Needs::Selected),
    ("SELECT", Name::Select, Needs::Authenticated),
    ("SETACL", Name::SetAcl, Needs::Authenticated),
    ("SETMETADATA", Name::SetMetadata, Needs::Authenticated),
    ("SORT", Name::Sort, Needs::Selected),
    ("STARTTLS", Name::StartTls, Needs::NotAuthenticated),
    ("STATUS", Name::Status, Needs::Authenticated),
    ("STORE", Name::Store, Needs::Selected),
    ("SUBSCRIBE", Name::Subscribe, Needs::Authenticated),
    ("THREAD", Name::Thread, Needs::Selected),
    ("UIDBATCHES", Name::UidBatches, Needs::Selected),
    ("UNAUTHENTICATE", Name::Unauthenticate, Needs::Authenticated),
    ("UNSELECT", Name::Unselect, Needs::Selected),
    ("UNSUBSCRIBE", Name::Unsubscribe, Needs::Authenticated),
    ("URLFETCH", Name::UrlFetch, Needs::Authenticated),
];

impl Name {
    /// The command of this name, in any case. Of `UID`, the word behind it.
    pub(crate) fn find(word: &[u8], uid: bool) -> Option<Name> {
        let &(_, name, _) = NAMES
            .iter()
            .find(|(text, ..)| text.as_bytes().eq_ignore_ascii_case(word))?;
        if !uid {
            return Some(name);
        }
        Some(match name {
            Name::Copy => Name::UidCopy,
            Name::Expunge => Name::UidExpunge,
            Name::Fetch => Name::UidFetch,
            Name::Move => Name::UidMove,
            Name::Replace => Name::UidReplace,
            Name::Search => Name::UidSearch,
            Name::Sort => Name::UidSort,
            Name::Store => Name::UidStore,
            Name::Thread => Name::UidThread,
            _ => return None,
        })
    }

    /// What state the command needs. All UID commands need a mailbox.
    pub(crate) fn needs(self) -> Needs {
        NAMES
            .iter()
            .find(|(_, name, _)| *name == self)
            .map_or(Needs::Selected, |&(_, _, needs)| needs)
    }

    /// Whether it brings messages, which stream past.
    pub(crate) fn appends(self) -> bool {
        matches!(self, Name::Append | Name::Replace | Name::UidReplace)
    }

    /// Whether the command changes the selected mailbox, which one that is
    /// open read-only does not allow.
    pub(crate) fn writes(self) -> bool {
        matches!(
            self,
            Name::Expunge
                | Name::Move
                | Name::Replace
                | Name::Store
                | Name::UidExpunge
                | Name::UidMove
                | Name::UidReplace
                | Name::UidStore
        )
    }
}
