"""Flask-Login: a session cookie decides who may see the page."""

from flask import Flask
from flask_login import LoginManager, UserMixin, current_user, login_required, login_user, logout_user

app = Flask(__name__)
app.secret_key = "for tests"
manager = LoginManager(app)


class User(UserMixin):
    def __init__(self, name: str) -> None:
        self.id = name


@manager.user_loader
def load(name: str) -> User:
    return User(name)


@app.post("/login/<name>")
def login(name: str) -> str:
    login_user(User(name))
    return "welcome"


@app.post("/logout")
@login_required
def logout() -> str:
    logout_user()
    return "bye"


@app.route("/me")
@login_required
def me() -> str:
    name: str = current_user.id
    return name
