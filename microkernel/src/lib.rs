//! The message-passing kernel core: transports, domains, supervisor.
