"""Who there is: accounts and the access keys of their root users."""
