//! Administration of users and access control lists.

use super::headers;

headers! {
    /// AUTH_CREATE_USER, AUTH_UPDATE_USER, AUTH_DELETE_USER and AUTH_GET_USER.
    UserName<'a> {
        username: Option<&'a str> = "username",
    }

    ListUsers<'a> {
        filter: Option<&'a str> = "filter",
    }

    /// AUTH_CREATE_ACL, AUTH_UPDATE_ACL and AUTH_GET_ACL.
    AclSubject<'a> {
        subject: &'a str = "subject",
    }

    DeleteAcl<'a> {
        subject: &'a str = "subject",
        policy_type: Option<&'a str> = "policyType",
        resource: Option<&'a str> = "resource",
    }

    ListAcls<'a> {
        subject_filter: Option<&'a str> = "subjectFilter",
        resource_filter: Option<&'a str> = "resourceFilter",
    }
}
