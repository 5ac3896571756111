//! Transactions: the producer's verdict and the broker's question.

use super::headers;

/// Values of [`EndTransaction::commit_or_rollback`], the transaction bits of a sysFlag.
pub mod verdict {
    pub const UNKNOWN: i32 = 0;
    pub const COMMIT: i32 = 8;
    pub const ROLLBACK: i32 = 12;
}

headers! {
    EndTransaction<'a> {
        topic: Option<&'a str> = "topic",
        producer_group: &'a str = "producerGroup",
        tran_state_table_offset: i64 = "tranStateTableOffset",
        commit_log_offset: i64 = "commitLogOffset",
        commit_or_rollback: i32 = "commitOrRollback",
        from_transaction_check: Option<bool> = "fromTransactionCheck",
        msg_id: &'a str = "msgId",
        transaction_id: Option<&'a str> = "transactionId",
    }

    CheckTransactionState<'a> {
        topic: Option<&'a str> = "topic",
        tran_state_table_offset: i64 = "tranStateTableOffset",
        commit_log_offset: i64 = "commitLogOffset",
        msg_id: Option<&'a str> = "msgId",
        transaction_id: Option<&'a str> = "transactionId",
        offset_msg_id: Option<&'a str> = "offsetMsgId",
        broker_name: Option<&'a str> = "bname",
    }

    ResumeCheckHalfMessage<'a> {
        topic: Option<&'a str> = "topic",
        msg_id: Option<&'a str> = "msgId",
    }
}
